// Turns the counters of several disks into one progress of a stage: bytes, rate and time left that never go
// backwards.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runner/contract/events.h"

namespace hyper2kvm::pipeline {

// Thread-safe.
class ProgressMeter {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;
  // Events go to sink, at most one every 200 ms and one when all is done.
  ProgressMeter(
      std::string stage, std::size_t parts, contract::EventSink& sink,
      Clock clock = [] { return std::chrono::steady_clock::now(); });

  // Bytes of one part (a disk). A smaller `done` than before is ignored. total 0: not known yet.
  void update(std::size_t part, std::uint64_t done, std::uint64_t total);

 private:
  struct Part {
    std::uint64_t done = 0;
    std::uint64_t total = 0;
  };
  const std::string stage_;
  contract::EventSink& sink_;
  const Clock clock_;
  std::mutex mutex_;
  std::vector<Part> parts_;
  const std::chrono::steady_clock::time_point started_;
  std::chrono::steady_clock::time_point last_event_;
  std::chrono::steady_clock::time_point last_sample_;
  std::uint64_t sample_done_ = 0;
  double rate_ = 0;  // bytes a second, smoothed
  bool any_event_ = false;
  bool ended_ = false;
};

}  // namespace hyper2kvm::pipeline
