#include "runner/daemon/statistics.h"

#include <ctime>
#include <nlohmann/json.hpp>

#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::daemon {

Statistics::Statistics(std::filesystem::path file) : file_(std::move(file)) {
  totals_.since = std::time(nullptr);
  try {
    nlohmann::json object = nlohmann::json::parse(os::read_text(file_, 16u << 20));
    Totals totals;
    auto read = [&](const char* key, auto& value) { object.at(key).get_to(value); };
    read("done", totals.done);
    read("failed", totals.failed);
    read("cancelled", totals.cancelled);
    read("refused", totals.refused);
    read("attempts", totals.attempts);
    read("retries", totals.retries);
    read("interruptions", totals.interruptions);
    read("source_bytes", totals.source_bytes);
    read("output_bytes", totals.output_bytes);
    read("conversion_seconds", totals.conversion_seconds);
    read("since", totals.since);
    read("unconfirmed", unconfirmed_);
    totals_ = totals;
  } catch (const nlohmann::json::exception&) {
    unconfirmed_.clear();
  } catch (const os::Error& error) {
    if (error.errno_value() != ENOENT) throw;
  }
}

void Statistics::count(const Job& job) {
  if (!unconfirmed_.insert(job.id).second) return;
  if (job.phase == Phase::kDone) {
    ++totals_.done;
    totals_.source_bytes += job.source_bytes;
    totals_.output_bytes += job.output_bytes;
    totals_.conversion_seconds += job.duration_seconds;
  } else if (job.phase == Phase::kFailed) {
    ++totals_.failed;
  } else {
    ++totals_.cancelled;
  }
  totals_.attempts += job.attempts;
  totals_.retries += job.attempts > 0 && job.failures > 1 ? job.failures - 1 : 0;
  totals_.interruptions += job.interruptions;
  save();
}

void Statistics::reopen(const std::string& id) {
  unconfirmed_.erase(id);
  save();
}

void Statistics::keep_only(const std::set<std::string>& uncounted) {
  std::erase_if(unconfirmed_, [&](const std::string& id) { return !uncounted.contains(id); });
}

void Statistics::count_refused() {
  ++totals_.refused;
  save();
}

void Statistics::save() const {
  nlohmann::json object = to_json(totals_);
  object["unconfirmed"] = unconfirmed_;
  os::write_text_atomically(file_, object.dump(1));
}

nlohmann::json to_json(const Totals& t) {
  return {{"done", t.done},
          {"failed", t.failed},
          {"cancelled", t.cancelled},
          {"refused", t.refused},
          {"attempts", t.attempts},
          {"retries", t.retries},
          {"interruptions", t.interruptions},
          {"source_bytes", t.source_bytes},
          {"output_bytes", t.output_bytes},
          {"conversion_seconds", t.conversion_seconds},
          {"since", t.since}};
}

}  // namespace hyper2kvm::daemon
