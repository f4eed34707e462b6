#include "runner/image/rate_limiter.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace hyper2kvm::image {
namespace {

constexpr auto kTick = std::chrono::milliseconds(50);
constexpr auto kForgiven = std::chrono::milliseconds(50);

}  // namespace

RateLimiter::RateLimiter(std::uint64_t bytes_per_second, std::function<Time()> now,
                         std::function<void(Time)> wait_until)
    : bytes_per_second_(bytes_per_second), now_(std::move(now)), wait_until_(std::move(wait_until)) {}

void RateLimiter::sleep_until(Time time) { std::this_thread::sleep_until(time); }

void RateLimiter::pass(std::uint64_t bytes, const std::function<void()>& on_wait) {
  Time begin;
  {
    std::lock_guard lock(mutex_);
    // Time that nobody used is lost, so no burst follows a pause; but for what a late wake-up cost.
    begin = std::max(now_() - kForgiven, next_);
    next_ = begin + std::chrono::duration_cast<Time::duration>(std::chrono::duration<double>(
                        static_cast<double>(bytes) / static_cast<double>(bytes_per_second_)));
  }
  while (true) {
    const Time now = now_();
    if (now >= begin) return;
    on_wait();
    wait_until_(std::min<Time>(now + kTick, begin));
  }
}

}  // namespace hyper2kvm::image
