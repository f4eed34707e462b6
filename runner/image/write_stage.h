// Many small neighbouring writes become few large aligned ones.
//
// Compressed clusters lie byte after byte in the file and come from several threads. They are collected in
// windows of 2 MiB; a window that is full goes out in one piece past the page cache, one that never fills up
// (a table lies in it) goes out by its parts through it. No byte may be written twice, and nobody reads
// before flush().
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
    bool written = false;                      // by its parts, before it was full
  };
  std::shared_ptr<Window> window(std::uint64_t number, std::shared_ptr<Window>& retired);
  void fill(Window& window, std::size_t begin, std::span<const std::byte> bytes);
  void write_parts(Window& window);

  Write write_;
  std::mutex mutex_;                            // guards windows_ and spare_; never held with a window's own
  std::list<std::shared_ptr<Window>> windows_;  // oldest first
  std::vector<AlignedBuffer> spare_;            // of windows that are done, for the next ones
};

}  // namespace hyper2kvm::image
