#include "runner/image/rate_limiter.h"

#include <algorithm>
#include <thread>

namespace hyper2kvm::image {
namespace {

constexpr auto kTick = std::chrono::milliseconds(50);
constexpr auto kForgiven = std::chrono::milliseconds(50);

}  // namespace

void RateLimiter::pass(std::uint64_t bytes, const std::function<void()>& on_wait) {
  Clock::time_point begin;
  {
    std::lock_guard lock(mutex_);
    // Time that nobody used is lost, so no burst follows a pause; but for what a late wake-up cost.
    begin = std::max(Clock::now() - kForgiven, next_);
    next_ = begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(
                        static_cast<double>(bytes) / static_cast<double>(bytes_per_second_)));
  }
  while (true) {
    Clock::time_point now = Clock::now();
    if (now >= begin) return;
    on_wait();
    std::this_thread::sleep_for(std::min<Clock::duration>(kTick, begin - now));
  }
}

}  // namespace hyper2kvm::image
