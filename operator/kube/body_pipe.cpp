#include "operator/kube/body_pipe.h"

#include <cpprest/http_msg.h>

namespace hyper2kvm::kube {

BodyPipe::Outcome BodyPipe::read(std::string& into, std::chrono::milliseconds patience,
                                 const std::stop_token& stop) {
  std::optional<Piece> piece;
  {
    std::unique_lock lock(mutex_);
    bool ready = changed_.wait_for(lock, stop, patience, [&] { return piece_ || finished_; });
    if (!ready) return stop.stop_requested() ? Outcome::kStopped : Outcome::kTimeout;
    if (!piece_) {
      if (error_) std::rethrow_exception(error_);
      return Outcome::kEnd;
    }
    piece = std::move(*piece_);
    piece_.reset();
  }
  into.append(reinterpret_cast<const char*>(piece->bytes), piece->size);
  // Outside the lock: cpprestsdk may go on, and come back with the next piece, on this very thread.
  piece->taken.set(piece->size);
  return Outcome::kBytes;
}

void BodyPipe::abandon() {
  std::optional<Piece> piece;
  {
    std::lock_guard lock(mutex_);
    abandoned_ = true;
    piece.swap(piece_);
  }
  if (piece)
    piece->taken.set_exception(std::make_exception_ptr(web::http::http_exception("the reader went away")));
}

void BodyPipe::finish(std::exception_ptr error) {
  std::lock_guard lock(mutex_);
  if (finished_) return;
  finished_ = true;
  error_ = std::move(error);
  changed_.notify_all();
}

pplx::task<std::size_t> BodyPipe::_putn(const std::uint8_t* bytes, std::size_t size) {
  std::lock_guard lock(mutex_);
  if (abandoned_)
    return pplx::task_from_exception<std::size_t>(web::http::http_exception("the reader went away"));
  piece_.emplace(Piece{bytes, size, {}});
  changed_.notify_all();
  return pplx::create_task(piece_->taken);
}

}  // namespace hyper2kvm::kube
