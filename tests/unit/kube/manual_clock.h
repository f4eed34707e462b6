// A clock that a test moves. A sleep passes at once: it moves the clock and is noted.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <vector>

#include "operator/kube/clock.h"

namespace hyper2kvm::kube {

class ManualClock final : public Clock {
 public:
  Time now() const override {
    std::lock_guard lock(mutex_);
    return now_;
  }
  Calendar calendar() const override {
    std::lock_guard lock(mutex_);
    return Calendar(std::chrono::sys_days(std::chrono::year(2024) / 5 / 1)) +
           std::chrono::duration_cast<std::chrono::microseconds>(now_.time_since_epoch());
  }
  bool sleep(Duration duration, const std::stop_token& stop) override {
    if (stop.stop_requested()) return false;
    {
      std::lock_guard lock(mutex_);
      now_ += duration;
      sleeps_.push_back(duration);
    }
    if (on_sleep) on_sleep(duration);
    return !stop.stop_requested();
  }

  void advance(Duration duration) {
    std::lock_guard lock(mutex_);
    now_ += duration;
  }
  std::vector<Duration> sleeps() const {
    std::lock_guard lock(mutex_);
    return sleeps_;
  }
  // Called after each sleep; set before threads start.
  std::function<void(Duration)> on_sleep;

 private:
  mutable std::mutex mutex_;
  Time now_{};
  std::vector<Duration> sleeps_;
};

}  // namespace hyper2kvm::kube
