// What has become of a conversion: the status of a VMConversion, read, and written back.
//
// jobName tells whether an attempt is in flight: it is written before the Job is made and emptied when the
// attempt has ended, so whoever comes after a crash between the two knows what may be there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/kube/object.h"

namespace hyper2kvm::conversion {

enum class Phase { kNone, kPending, kQueued, kRunning, kSucceeded, kFailed, kSuspended, kDeleting };

inline constexpr Phase kAllPhases[] = {Phase::kPending, Phase::kQueued,    Phase::kRunning, Phase::kSucceeded,
                                       Phase::kFailed,  Phase::kSuspended, Phase::kDeleting};

std::string_view to_string(Phase);

// Of the stage that runs.
struct Progress {
  std::string stage;
  std::int64_t done_bytes = 0;
  std::int64_t total_bytes = 0;  // 0: not known
  std::int64_t bytes_per_second = 0;
  std::optional<std::int64_t> seconds_left;

  std::optional<int> percent() const;
  bool operator==(const Progress&) const = default;
};

struct Artifact {
  std::string disk_id, claim_name, path, format;  // path: in the claim
  std::int64_t size_bytes = 0;

  bool operator==(const Artifact&) const = default;
};

// A disk that gets a claim of its own.
struct PlannedDisk {
  std::string id;
  std::int64_t virtual_size_bytes = 0;
  std::int64_t boot_order_hint = 0;  // the lowest boots
  std::string claim_name;

  bool operator==(const PlannedDisk&) const = default;
};

// What was found in the guest.
struct Guest {
  std::string os_type, distribution, version, name, hostname, architecture;

  bool operator==(const Guest&) const = default;
};

struct Status {
  std::int64_t observed_generation = 0;
  Phase phase = Phase::kNone;
  std::string message;
  std::int64_t attempts = 0;  // Jobs that were started
  std::int64_t failures = 0;  // attempts that count against the retry limit
  std::string start_time, completion_time, next_retry_time;
  std::string job_name;  // of the attempt in flight; empty: none is
  std::string job_uid;   // once the Job was seen
  std::string node;
  std::string target;  // "claim/directory"
  std::string failed_stage;
  std::optional<Progress> progress;
  std::vector<PlannedDisk> disks;  // known when the input has been surveyed
  std::vector<Artifact> artifacts;
  std::optional<Guest> guest;
  std::vector<kube::Condition> conditions;

  bool is_finished() const { return phase == Phase::kSucceeded || phase == Phase::kFailed; }
  bool is_in_flight() const { return !job_name.empty(); }
  bool operator==(const Status&) const = default;
};

Status read_status(const kube::Json& object);
// For a merge patch: what is not set is null, so that it goes away.
kube::Json to_json(const Status& status);

}  // namespace hyper2kvm::conversion
