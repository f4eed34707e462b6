// What to start next, when to try again, what has been kept long enough: decisions only, as pure functions of
// the jobs, the settings and the time. Times are seconds since the epoch.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runner/daemon/job.h"
#include "runner/daemon/settings.h"

namespace hyper2kvm::daemon {

using Jobs = std::map<std::string, Job>;

// Space on the file system of the results, in bytes.
struct Space {
  std::uint64_t free = 0;
  std::uint64_t total = 0;
};

// kForDisk: its claim is not durable yet.
enum class Waiting { kForSlot, kForTime, kForSpace, kForSameMachine, kForDisk };

struct Choice {
  std::vector<std::string> start;          // in order of submission
  std::map<std::string, Waiting> waiting;  // the queued rest, and why
  std::vector<std::string> never_fit;      // larger than the file system itself
  std::optional<std::int64_t> next_time;   // when a back-off is over
};

// Jobs that begin now, without going over max_concurrent (0: no limit), with the space that running jobs may
// still take left to them, and never two of one result name at once (they publish under the same names). The
// older job of a name goes first, also where it must wait and a younger one could start.
Choice choose(const Jobs& jobs, const Settings& settings, std::int64_t now, const Space& space);

// Seconds until the attempt after so many failures: delay, twice, four times..., at most half an hour.
std::int64_t backoff(unsigned failures, std::chrono::seconds delay);

// What becomes of a failed attempt; job.failures counts it already.
enum class AfterFailure { kRetry, kGiveUp };
AfterFailure after_failure(const Job& job, bool may_pass, const Settings& settings);

// Ended jobs whose time is over. Cancelled ones count as failed; what is not yet counted or notified stays.
std::vector<std::string> expired(const Jobs& jobs, const Settings& settings, std::int64_t now);

bool is_overdue(const Job& job, const Settings& settings, std::int64_t now);

}  // namespace hyper2kvm::daemon
