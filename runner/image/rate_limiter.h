// How fast a job may read and write: one limit for all its disks and all their threads.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>

namespace hyper2kvm::image {

// All functions may be called from any thread.
class RateLimiter {
 public:
  // bytes_per_second: more than 0.
  explicit RateLimiter(std::uint64_t bytes_per_second) : bytes_per_second_(bytes_per_second) {}
  // Returns when this many bytes may be moved. on_wait is called at least every 50 ms meanwhile; it throws to
  // end the waiting.
  void pass(std::uint64_t bytes, const std::function<void()>& on_wait);

 private:
  using Clock = std::chrono::steady_clock;
  const std::uint64_t bytes_per_second_;
  std::mutex mutex_;
  Clock::time_point next_{};  // when the next transfer may begin
};

}  // namespace hyper2kvm::image
