#include "runner/boot/activity.h"

namespace hyper2kvm::boot {

void ActivityWatch::sample(std::chrono::milliseconds time, const DiskCounters& counters) {
  counters_ = counters;
  if (counters.bytes_read - read_when_quiet_began_ > kTrickle) {
    read_when_quiet_began_ = counters.bytes_read;
    quiet_since_ = time;
  }
  has_settled_ =
      counters.bytes_read >= kRead && counters.bytes_written >= kWritten && time - quiet_since_ >= kQuiet;
}

}  // namespace hyper2kvm::boot
