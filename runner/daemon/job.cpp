#include "runner/daemon/job.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "runner/contract/json_members.h"
#include "runner/os/error.h"

namespace hyper2kvm::daemon {
namespace {

constexpr std::array<std::pair<Phase, std::string_view>, 7> kPhases{{{Phase::kClaimed, "claimed"},
                                                                     {Phase::kQueued, "queued"},
                                                                     {Phase::kRunning, "running"},
                                                                     {Phase::kPublishing, "publishing"},
                                                                     {Phase::kDone, "done"},
                                                                     {Phase::kFailed, "failed"},
                                                                     {Phase::kCancelled, "cancelled"}}};

// Beside phase and file.
constexpr std::tuple kMembers{std::pair{"id", &Job::id},
                              std::pair{"file_name", &Job::file_name},
                              std::pair{"submitted", &Job::submitted},
                              std::pair{"not_before", &Job::not_before},
                              std::pair{"started", &Job::started},
                              std::pair{"finished", &Job::finished},
                              std::pair{"vm_name", &Job::vm_name},
                              std::pair{"result_name", &Job::result_name},
                              std::pair{"provider", &Job::provider},
                              std::pair{"format", &Job::format},
                              std::pair{"disks", &Job::disks},
                              std::pair{"source_bytes", &Job::source_bytes},
                              std::pair{"attempts", &Job::attempts},
                              std::pair{"failures", &Job::failures},
                              std::pair{"interruptions", &Job::interruptions},
                              std::pair{"register_begun", &Job::register_begun},
                              std::pair{"cancel_requested", &Job::cancel_requested},
                              std::pair{"error", &Job::error},
                              std::pair{"output_path", &Job::output_path},
                              std::pair{"report_path", &Job::report_path},
                              std::pair{"warnings", &Job::warnings},
                              std::pair{"duration_seconds", &Job::duration_seconds},
                              std::pair{"output_bytes", &Job::output_bytes},
                              std::pair{"counted", &Job::counted},
                              std::pair{"mailed", &Job::mailed},
                              std::pair{"hooked", &Job::hooked}};

constexpr std::tuple kFileMembers{std::pair{"device", &FileIdentity::device},
                                  std::pair{"inode", &FileIdentity::inode},
                                  std::pair{"size", &FileIdentity::size},
                                  std::pair{"modified_nanoseconds", &FileIdentity::modified_nanoseconds}};

}  // namespace

std::string_view to_string(Phase phase) {
  for (const auto& [value, word] : kPhases)
    if (value == phase) return word;
  return "unknown";
}

nlohmann::json to_json(const Job& job) {
  nlohmann::json object = contract::write_members(job, kMembers);
  object["phase"] = to_string(job.phase);
  object["file"] = contract::write_members(job.file, kFileMembers);
  return object;
}

Job job_from_json(std::string_view text, std::string_view name) {
  try {
    nlohmann::json object = nlohmann::json::parse(text);
    Job job;
    contract::read_members(object, kMembers, job);
    contract::read_members(object.at("file"), kFileMembers, job.file);
    std::string phase = object.at("phase");
    auto found = std::find_if(kPhases.begin(), kPhases.end(),
                              [&](const auto& entry) { return entry.second == phase; });
    if (found == kPhases.end() || !is_job_id(job.id))
      throw os::Error(os::ErrorKind::kInvalid, std::string(name), "is not the state of a job");
    job.phase = found->first;
    return job;
  } catch (const nlohmann::json::exception& error) {
    throw os::Error(os::ErrorKind::kInvalid, std::string(name),
                    fmt::format("is not the state of a job ({})", error.what()),
                    "The journal was changed from outside: move the job's directory away.");
  }
}

std::string make_job_id(std::int64_t microseconds, unsigned salt) {
  std::time_t seconds = static_cast<std::time_t>(microseconds / 1000000);
  return fmt::format("{:%Y%m%d-%H%M%S}-{:06}-{:02x}", fmt::gmtime(seconds), microseconds % 1000000,
                     salt & 0xff);
}

bool is_job_id(std::string_view text) {
  constexpr std::string_view kShape = "########-######-######-xx";
  if (text.size() != kShape.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    bool digit = c >= '0' && c <= '9';
    if (kShape[i] == '#' ? !digit : kShape[i] == 'x' ? !digit && !(c >= 'a' && c <= 'f') : c != '-')
      return false;
  }
  return true;
}

}  // namespace hyper2kvm::daemon
