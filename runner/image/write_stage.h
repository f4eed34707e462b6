// Many small neighbouring writes become few large aligned ones.
//
// Compressed clusters lie byte after byte in the file and come from several threads. They are collected in
// windows of 2 MiB. A window is written when nothing in it is missing: in one piece where all of it was
// added, by its parts where some of it was skipped. One that never gets there (a table lies in it) is written
// when there are too many newer ones. No byte may be written twice, and nobody reads before flush().
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "runner/image/target_file.h"

namespace hyper2kvm::image {

// Thread-safe but for flush().
class WriteStage {
 public:
  using Write = std::function<void(std::uint64_t offset, std::span<const std::byte> bytes)>;
  explicit WriteStage(Write write) : write_(std::move(write)) {}
  void add(std::uint64_t offset, std::span<const std::byte> bytes);
  // What is there is written by others: nothing to wait for.
  void skip(std::uint64_t offset, std::uint64_t length);
  // Writes what is left. By one thread, when the others are done.
  void flush();

 private:
  static constexpr std::size_t kWindowSize = 2u << 20;
  static constexpr std::size_t kMostWindows = 8;
  struct Window {
    Window(std::uint64_t place, AlignedBuffer buffer) : number(place), memory(std::move(buffer)) {}
    const std::uint64_t number;
    AlignedBuffer memory;
    std::mutex mutex;
    std::map<std::size_t, std::size_t> parts;  // begin to end of what is filled, neighbours joined
    std::size_t missing = kWindowSize;         // bytes that were neither added nor skipped
    bool written = false;                      // whether or not something was missing
    void add_part(std::size_t begin, std::size_t end);
  };
  std::shared_ptr<Window> window(std::uint64_t number, std::shared_ptr<Window>& retired);
  std::shared_ptr<Window> find(std::uint64_t number);
  // bytes: null where they are skipped.
  void fill(Window& window, std::size_t begin, std::size_t size, const std::byte* bytes);
  void write_parts(Window& window);

  Write write_;
  std::mutex mutex_;                            // guards windows_ and spare_; never held with a window's own
  std::list<std::shared_ptr<Window>> windows_;  // oldest first
  std::vector<AlignedBuffer> spare_;            // of windows that are done, for the next ones
};

}  // namespace hyper2kvm::image
