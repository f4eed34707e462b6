// Carries an answer's body from cpprestsdk's threads to the thread that reads it, without a buffer of its
// own.
//
// cpprestsdk hands over a piece of the body and waits with the next until the task that it got is done. The
// piece stays in its buffer meanwhile, so that a reader that is slow slows the sender down, and what a
// talkative pod logs never piles up in our memory. At most one piece is here at a time.
//
// Includes cpprestsdk: only for cpprest_transport.cpp.
#pragma once

#include <cpprest/astreambuf.h>

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

namespace hyper2kvm::kube {

class BodyPipe final : public Concurrency::streams::details::streambuf_state_manager<std::uint8_t> {
 public:
  BodyPipe() : streambuf_state_manager(std::ios_base::out) {}

  // --- the reader's side ---
  enum class Outcome { kBytes, kEnd, kTimeout, kStopped };
  // Waits for a piece, or the end. Appends the piece to `into`. Rethrows what the connection failed with.
  Outcome read(std::string& into, std::chrono::milliseconds patience, const std::stop_token& stop);
  // Nobody reads any more: pieces to come are refused, which makes cpprestsdk close the connection.
  void abandon();

  // --- cpprestsdk's side ---
  // Everything has been handed over; error is null for a complete body. The first call counts.
  void finish(std::exception_ptr error);
  using streambuf_state_manager::_putn;
  pplx::task<std::size_t> _putn(const std::uint8_t* bytes, std::size_t size) override;

  // A stream buffer that can only be written to has no use for the rest.
  bool can_seek() const override { return false; }
  bool has_size() const override { return false; }
  std::size_t buffer_size(std::ios_base::openmode) const override { return 0; }
  void set_buffer_size(std::size_t, std::ios_base::openmode) override {}
  std::size_t in_avail() const override { return 0; }
  pos_type getpos(std::ios_base::openmode) const override { return static_cast<pos_type>(traits::eof()); }
  pos_type seekpos(pos_type, std::ios_base::openmode) override {
    return static_cast<pos_type>(traits::eof());
  }
  pos_type seekoff(off_type, std::ios_base::seekdir, std::ios_base::openmode) override {
    return static_cast<pos_type>(traits::eof());
  }
  bool acquire(std::uint8_t*&, std::size_t&) override { return false; }
  void release(std::uint8_t*, std::size_t) override {}

 protected:
  pplx::task<int_type> _putc(std::uint8_t) override {
    return pplx::task_from_result<int_type>(traits::eof());
  }
  pplx::task<int_type> _bumpc() override { return pplx::task_from_result<int_type>(traits::eof()); }
  int_type _sbumpc() override { return traits::eof(); }
  pplx::task<int_type> _getc() override { return pplx::task_from_result<int_type>(traits::eof()); }
  int_type _sgetc() override { return traits::eof(); }
  pplx::task<int_type> _nextc() override { return pplx::task_from_result<int_type>(traits::eof()); }
  pplx::task<int_type> _ungetc() override { return pplx::task_from_result<int_type>(traits::eof()); }
  pplx::task<std::size_t> _getn(std::uint8_t*, std::size_t) override {
    return pplx::task_from_result<std::size_t>(0);
  }
  std::size_t _scopy(std::uint8_t*, std::size_t) override { return 0; }
  pplx::task<bool> _sync() override { return pplx::task_from_result(true); }
  std::uint8_t* _alloc(std::size_t) override { return nullptr; }
  void _commit(std::size_t) override {}

 private:
  struct Piece {
    const std::uint8_t* bytes;
    std::size_t size;
    pplx::task_completion_event<std::size_t> taken;
  };
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::optional<Piece> piece_;
  bool finished_ = false;
  bool abandoned_ = false;
  std::exception_ptr error_;
};

}  // namespace hyper2kvm::kube
