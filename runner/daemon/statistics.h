// What an instance has done since its queue was made: survives restarts, counts every job once.
//
// A job is counted in two steps that a crash may come between: the file with the job's id in `unconfirmed`,
// then the job's own `counted`. A job that is found uncounted after a crash and stands in `unconfirmed` was
// counted. Not thread-safe. Throws os::Error.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>

#include "runner/daemon/job.h"

namespace hyper2kvm::daemon {

struct Totals {
  std::uint64_t done = 0, failed = 0, cancelled = 0, refused = 0;
  std::uint64_t attempts = 0, retries = 0, interruptions = 0;
  std::uint64_t source_bytes = 0, output_bytes = 0;  // of jobs that are done
  double conversion_seconds = 0;                     // of jobs that are done
  std::int64_t since = 0;                            // seconds since the epoch
};

class Statistics {
 public:
  // Reads the file; begins anew where there is none or it is damaged.
  explicit Statistics(std::filesystem::path file);
  const Totals& totals() const { return totals_; }
  // Once a job: the second call for the same id does nothing.
  void count(const Job& job);
  // The job's own state says now that it was counted.
  void confirm(const std::string& id) { unconfirmed_.erase(id); }
  // The job begins anew and will be counted again when it ends.
  void reopen(const std::string& id);
  // After a start: forgets what is settled. uncounted: the ended jobs that do not say so themselves.
  void keep_only(const std::set<std::string>& uncounted);
  void count_refused();

 private:
  void save() const;
  std::filesystem::path file_;
  Totals totals_;
  std::set<std::string> unconfirmed_;
};

nlohmann::json to_json(const Totals& totals);

}  // namespace hyper2kvm::daemon
