// Starts a converted machine once, to see whether it comes up, and throws it away.
//
//   power on ─► watch ─┬─► up: the console's or the guest agent's word, or what the disks do
//                      ├─► failed: a sign on the console, a panic, switched off, one restart after the other
//                      └─► failed: the time is over
//
// The converted disks are never written: what the machine writes goes to the overlays. The emulator is
// confined (os/confinement.h) to the machine's own files, with limits; it is killed when this returns,
// whatever happened. Source: docs/boot-validation.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "runner/boot/activity.h"
#include "runner/boot/machine.h"
#include "runner/os/stop.h"

namespace hyper2kvm::boot {

struct Trial {
  Machine machine;
  std::chrono::milliseconds time_limit{600'000};  // from power-on
  std::uint64_t overlay_limit = 8ull << 30;       // bytes that the overlays may grow to in all
  std::filesystem::path scratch;                  // a private directory; must exist
  std::filesystem::path screenshot;               // in scratch: where a picture may be put
};

struct Result {
  bool up = false;
  // "login prompt", "guest agent", "disk activity"; of a failure what happened: "its kernel panicked".
  std::string sign;
  std::chrono::milliseconds time{0};
  DiskCounters disks;
  std::string console_tail;
  std::string last_words;  // the end of it on one line, at most 600 bytes
  bool has_screenshot = false;
};

// progress gets a sentence now and then. Throws os::Error when stopped (kCancelled, within 50 ms), and where
// the machine could not be tried at all (kSystem): the emulator failed, there is no space for the overlays.
Result run(const Trial& trial, const os::StopToken& stop,
           const std::function<void(const std::string&)>& progress);

}  // namespace hyper2kvm::boot
