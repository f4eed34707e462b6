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
  using Time = std::chrono::steady_clock::time_point;
  // bytes_per_second: more than 0. now says the time, wait_until returns then or somewhat earlier; both are
  // called from any thread.
  explicit RateLimiter(
      std::uint64_t bytes_per_second,
      std::function<Time()> now = [] { return std::chrono::steady_clock::now(); },
      std::function<void(Time)> wait_until = sleep_until);
  // Returns when this many bytes may be moved. on_wait is called at least every 50 ms meanwhile; it throws to
  // end the waiting.
  void pass(std::uint64_t bytes, const std::function<void()>& on_wait);

 private:
  static void sleep_until(Time time);
  const std::uint64_t bytes_per_second_;
  const std::function<Time()> now_;
  const std::function<void(Time)> wait_until_;
  std::mutex mutex_;
  Time next_{};  // when the next transfer may begin
};

}  // namespace hyper2kvm::image
