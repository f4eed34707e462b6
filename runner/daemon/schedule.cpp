#include "runner/daemon/schedule.h"

#include <algorithm>
#include <set>

#include "runner/daemon/engine_manifest.h"

namespace hyper2kvm::daemon {
namespace {

constexpr std::int64_t kLongestBackoff = 1800;

}  // namespace

Choice choose(const Jobs& jobs, const Settings& settings, std::int64_t now, const Space& space) {
  Choice choice;
  std::set<std::string> taken;  // result names of running jobs, and of older ones that wait
  std::size_t running = 0;
  std::uint64_t reserved = 0;
  for (const auto& [id, job] : jobs) {
    if (job.phase != Phase::kRunning && job.phase != Phase::kPublishing) continue;
    ++running;
    reserved += estimated_output_bytes(job);
    taken.insert(job.result_name);
  }
  for (const auto& [id, job] : jobs) {
    if (job.phase != Phase::kQueued && job.phase != Phase::kClaimed) continue;
    bool name_is_free = taken.insert(job.result_name).second;
    std::uint64_t needed = estimated_output_bytes(job);
    if (job.phase == Phase::kClaimed) {
      choice.waiting[id] = Waiting::kForDisk;
    } else if (!name_is_free) {
      choice.waiting[id] = Waiting::kForSameMachine;
    } else if (space.total != 0 && needed > space.total) {
      choice.never_fit.push_back(id);
    } else if (job.not_before > now) {
      choice.waiting[id] = Waiting::kForTime;
      choice.next_time = std::min(choice.next_time.value_or(job.not_before), job.not_before);
    } else if (settings.max_concurrent != 0 && running >= settings.max_concurrent) {
      choice.waiting[id] = Waiting::kForSlot;
    } else if (reserved + needed > space.free) {
      choice.waiting[id] = Waiting::kForSpace;
    } else {
      choice.start.push_back(id);
      ++running;
      reserved += needed;
    }
  }
  return choice;
}

std::int64_t backoff(unsigned failures, std::chrono::seconds delay) {
  std::int64_t wait = delay.count();
  for (unsigned i = 1; i < failures && wait < kLongestBackoff; ++i) wait *= 2;
  return std::min(wait, std::max<std::int64_t>(kLongestBackoff, delay.count()));
}

AfterFailure after_failure(const Job& job, bool may_pass, const Settings& settings) {
  return may_pass && job.failures < settings.retry_limit ? AfterFailure::kRetry : AfterFailure::kGiveUp;
}

std::vector<std::string> expired(const Jobs& jobs, const Settings& settings, std::int64_t now) {
  std::vector<std::string> ids;
  for (const auto& [id, job] : jobs) {
    if (!has_ended(job.phase) || !job.counted || !job.mailed || !job.hooked) continue;
    std::chrono::seconds kept = job.phase == Phase::kDone ? settings.retention : settings.failed_retention;
    if (now - job.finished >= kept.count()) ids.push_back(id);
  }
  return ids;
}

bool is_overdue(const Job& job, const Settings& settings, std::int64_t now) {
  return job.phase == Phase::kRunning && now - job.started >= settings.conversion_timeout.count();
}

}  // namespace hyper2kvm::daemon
