#include "runner/pipeline/progress_meter.h"

#include <algorithm>
#include <utility>

namespace hyper2kvm::pipeline {
namespace {

using namespace std::chrono_literals;

constexpr auto kBetweenEvents = 200ms;
constexpr auto kSample = 500ms;
// A new sample counts this much: a rate that follows a slower disk within some seconds and does not jump with
// every write.
constexpr double kNewSampleWeight = 0.3;

double seconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

ProgressMeter::ProgressMeter(std::string stage, std::size_t parts, contract::EventSink& sink, Clock clock)
    : stage_(std::move(stage)),
      sink_(sink),
      clock_(std::move(clock)),
      parts_(parts),
      started_(clock_()),
      last_event_(started_),
      last_sample_(started_) {}

void ProgressMeter::update(std::size_t part, std::uint64_t done, std::uint64_t total) {
  contract::Event event;
  {
    std::lock_guard lock(mutex_);
    if (part >= parts_.size() || ended_) return;
    parts_[part].done = std::max(parts_[part].done, total == 0 ? done : std::min(done, total));
    parts_[part].total = std::max(parts_[part].total, total);
    std::uint64_t all_done = 0;
    std::uint64_t all_total = 0;
    bool total_known = true;
    for (const Part& each : parts_) {
      all_done += each.done;
      all_total += each.total;
      total_known = total_known && each.total != 0;
    }
    auto now = clock_();
    if (now - last_sample_ >= kSample) {
      double sample = static_cast<double>(all_done - sample_done_) / seconds(now - last_sample_);
      rate_ = rate_ == 0 ? sample : rate_ + kNewSampleWeight * (sample - rate_);
      last_sample_ = now;
      sample_done_ = all_done;
    }
    bool complete = total_known && all_done == all_total;
    if (any_event_ && !complete && now - last_event_ < kBetweenEvents) return;
    any_event_ = true;
    ended_ = complete;
    last_event_ = now;
    event.kind = contract::Event::Kind::kProgress;
    event.stage = stage_;
    event.done_bytes = all_done;
    event.total_bytes = total_known ? all_total : 0;
    double elapsed = seconds(now - started_);
    event.bytes_per_second = rate_ > 0 ? rate_ : elapsed > 0 ? static_cast<double>(all_done) / elapsed : 0;
    if (total_known && elapsed > 0 && all_done > 0) {
      // Half the recent rate, half the whole run's: the first follows a change, the second keeps the figure
      // calm.
      double whole = static_cast<double>(all_done) / elapsed;
      double expected = rate_ > 0 ? (rate_ + whole) / 2 : whole;
      if (expected > 0) event.seconds_left = static_cast<double>(all_total - all_done) / expected;
    }
    // Emitted under the lock so that two disks' events cannot overtake each other and go backwards.
    sink_.emit(event);
  }
}

}  // namespace hyper2kvm::pipeline
