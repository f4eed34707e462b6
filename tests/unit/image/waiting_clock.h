// A clock that moves only when somebody waits for it, for rate limits: what passed is what its time says,
// whatever the machine does meanwhile.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>

#include "runner/image/rate_limiter.h"

namespace hyper2kvm::image::testing {

// Thread-safe.
class WaitingClock {
 public:
  using Time = RateLimiter::Time;
  static constexpr Time kBegin{std::chrono::seconds(1000)};
  Time now() {
    std::lock_guard lock(mutex_);
    return now_;
  }
  void wait_until(Time time) {
    std::lock_guard lock(mutex_);
    now_ = std::max(now_, time);
  }

 private:
  std::mutex mutex_;
  Time now_ = kBegin;
};

inline std::shared_ptr<RateLimiter> limiter_of(const std::shared_ptr<WaitingClock>& clock,
                                               std::uint64_t bytes_per_second) {
  return std::make_shared<RateLimiter>(
      bytes_per_second, [clock] { return clock->now(); },
      [clock](WaitingClock::Time time) { clock->wait_until(time); });
}

}  // namespace hyper2kvm::image::testing
