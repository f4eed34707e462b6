// The source file as it is read: in chunks, each by one thread, used by several (who hashes, who inflates),
// free again when the last has let go.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "runner/image/digest.h"
#include "runner/image/target_file.h"

namespace hyper2kvm::image {

// Memory for one chunk with room before it: what a chunk leaves over goes in front of the next one's bytes,
// so that a grain is never in two places.
struct Chunk {
  Chunk(std::size_t head, std::size_t size) : memory(head + size), head_size(head) {}
  AlignedBuffer memory;
  std::size_t head_size;
  std::span<std::byte> fresh;  // read from the file, what a hash must see

  // A part of the chunk with length bytes of the head before the fresh ones.
  std::span<std::byte> with_head(std::size_t length) {
    return {memory.data() + head_size - length, length + fresh.size()};
  }
};

// A fixed number of chunks, so memory has a bound. What it gave out may outlive it. Thread-safe.
class ChunkPool {
 public:
  ChunkPool(std::size_t count, std::size_t head, std::size_t size);
  // Waits until one is free: wait is called about every 50 ms meanwhile; it throws to end the waiting.
  std::shared_ptr<Chunk> take(const std::function<void()>& wait);

 private:
  struct Shelf {
    std::mutex mutex;
    std::condition_variable returned;
    std::vector<std::unique_ptr<Chunk>> free;
  };
  std::shared_ptr<Shelf> shelf_;
};

// Hashes chunks on a thread of its own, in the order in which they are given to it, by one other thread.
class HashThread {
 public:
  HashThread();
  ~HashThread();
  void add(std::shared_ptr<Chunk> chunk);
  // Waits for what was added, then gives the digest. wait is called about every 50 ms; it throws to end the
  // waiting.
  std::string finish(const std::function<void()>& wait);

 private:
  void work();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<Chunk>> queue_;  // oldest first
  bool closing_ = false;
  bool ended_ = false;
  std::exception_ptr error_;
  Sha256 digest_;
  std::thread thread_;
};

}  // namespace hyper2kvm::image
