// Whether a machine without a word on any console has come up, judged by what it does with its disks.
//
// A system that starts reads its kernel and its programs, writes once its root file system is mounted for
// writing (a journal, logs, marks of the start), and then goes quiet. One that stops in its boot loader, its
// initramfs or a panic has written next to nothing. It must be quiet for longer than systemd waits for a disk
// that is not there (90 s), because that wait looks the same. Pure; not thread-safe, as any value.
#pragma once

#include <chrono>
#include <cstdint>

namespace hyper2kvm::boot {

// Of all disks, since power-on.
struct DiskCounters {
  std::uint64_t bytes_read = 0;
  std::uint64_t bytes_written = 0;
};

class ActivityWatch {
 public:
  static constexpr std::uint64_t kRead = 32u << 20;      // bytes: a kernel and its first programs
  static constexpr std::uint64_t kWritten = 1u << 20;    // bytes: more than a mount alone writes
  static constexpr std::uint64_t kTrickle = 256u << 10;  // bytes read that do not break the quiet
  static constexpr std::chrono::seconds kQuiet{100};

  // time: from power-on; never goes back.
  void sample(std::chrono::milliseconds time, const DiskCounters& counters);
  bool has_settled() const { return has_settled_; }
  const DiskCounters& counters() const { return counters_; }

 private:
  DiskCounters counters_;
  std::uint64_t read_when_quiet_began_ = 0;
  std::chrono::milliseconds quiet_since_{0};
  bool has_settled_ = false;
};

}  // namespace hyper2kvm::boot
