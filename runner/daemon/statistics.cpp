#include "runner/daemon/statistics.h"

#include <ctime>
#include <nlohmann/json.hpp>

#include "runner/contract/json_members.h"
#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::daemon {
namespace {

constexpr std::tuple kMembers{std::pair{"done", &Totals::done},
                              std::pair{"failed", &Totals::failed},
                              std::pair{"cancelled", &Totals::cancelled},
                              std::pair{"refused", &Totals::refused},
                              std::pair{"attempts", &Totals::attempts},
                              std::pair{"retries", &Totals::retries},
                              std::pair{"interruptions", &Totals::interruptions},
                              std::pair{"source_bytes", &Totals::source_bytes},
                              std::pair{"output_bytes", &Totals::output_bytes},
                              std::pair{"conversion_seconds", &Totals::conversion_seconds},
                              std::pair{"since", &Totals::since}};

}  // namespace

Statistics::Statistics(std::filesystem::path file) : file_(std::move(file)) {
  totals_.since = std::time(nullptr);
  try {
    nlohmann::json object = nlohmann::json::parse(os::read_text(file_, 16u << 20));
    Totals totals;
    contract::read_members(object, kMembers, totals);
    object.at("unconfirmed").get_to(unconfirmed_);
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

nlohmann::json to_json(const Totals& totals) { return contract::write_members(totals, kMembers); }

}  // namespace hyper2kvm::daemon
