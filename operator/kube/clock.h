// Time, as an edge that tests bend.
//
// What waits for a moment (a back-off, a lease's renewal, a delayed key) asks a Clock, so that a test can
// move time by hand and see every wait that was asked for. Two scales: a monotonic one for durations and
// deadlines, and the calendar for what is written into objects. Deadlines never use the calendar: nodes
// disagree about it.
#pragma once

#include <chrono>
#include <stop_token>

namespace hyper2kvm::kube {

using Duration = std::chrono::nanoseconds;
using Time = std::chrono::time_point<std::chrono::steady_clock, Duration>;
using Calendar = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;

// Safe to call from any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Time now() const = 0;
  virtual Calendar calendar() const = 0;
  // Returns true when that much time has passed, false as soon as a stop is requested.
  virtual bool sleep(Duration duration, const std::stop_token& stop) = 0;

  // The machine's own; lives as long as the process.
  static Clock& real();
};

}  // namespace hyper2kvm::kube
