#include "runner/daemon/job.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

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

}  // namespace

std::string_view to_string(Phase phase) {
  for (const auto& [value, word] : kPhases)
    if (value == phase) return word;
  return "unknown";
}

nlohmann::json to_json(const Job& job) {
  return {
      {"id", job.id},
      {"phase", to_string(job.phase)},
      {"file_name", job.file_name},
      {"file",
       {{"device", job.file.device},
        {"inode", job.file.inode},
        {"size", job.file.size},
        {"modified_nanoseconds", job.file.modified_nanoseconds}}},
      {"submitted", job.submitted},
      {"not_before", job.not_before},
      {"started", job.started},
      {"finished", job.finished},
      {"vm_name", job.vm_name},
      {"result_name", job.result_name},
      {"provider", job.provider},
      {"format", job.format},
      {"disks", job.disks},
      {"source_bytes", job.source_bytes},
      {"attempts", job.attempts},
      {"failures", job.failures},
      {"interruptions", job.interruptions},
      {"register_begun", job.register_begun},
      {"cancel_requested", job.cancel_requested},
      {"error", job.error},
      {"output_path", job.output_path},
      {"report_path", job.report_path},
      {"warnings", job.warnings},
      {"duration_seconds", job.duration_seconds},
      {"output_bytes", job.output_bytes},
      {"counted", job.counted},
      {"mailed", job.mailed},
      {"hooked", job.hooked},
  };
}

Job job_from_json(std::string_view text, std::string_view name) {
  try {
    nlohmann::json object = nlohmann::json::parse(text);
    Job job;
    auto read = [&](const char* key, auto& value) { object.at(key).get_to(value); };
    read("id", job.id);
    std::string phase = object.at("phase");
    auto found = std::find_if(kPhases.begin(), kPhases.end(),
                              [&](const auto& entry) { return entry.second == phase; });
    if (found == kPhases.end() || !is_job_id(job.id))
      throw os::Error(os::ErrorKind::kInvalid, std::string(name), "is not the state of a job");
    job.phase = found->first;
    read("file_name", job.file_name);
    const nlohmann::json& file = object.at("file");
    file.at("device").get_to(job.file.device);
    file.at("inode").get_to(job.file.inode);
    file.at("size").get_to(job.file.size);
    file.at("modified_nanoseconds").get_to(job.file.modified_nanoseconds);
    read("submitted", job.submitted);
    read("not_before", job.not_before);
    read("started", job.started);
    read("finished", job.finished);
    read("vm_name", job.vm_name);
    read("result_name", job.result_name);
    read("provider", job.provider);
    read("format", job.format);
    read("disks", job.disks);
    read("source_bytes", job.source_bytes);
    read("attempts", job.attempts);
    read("failures", job.failures);
    read("interruptions", job.interruptions);
    read("register_begun", job.register_begun);
    read("cancel_requested", job.cancel_requested);
    read("error", job.error);
    read("output_path", job.output_path);
    read("report_path", job.report_path);
    read("warnings", job.warnings);
    read("duration_seconds", job.duration_seconds);
    read("output_bytes", job.output_bytes);
    read("counted", job.counted);
    read("mailed", job.mailed);
    read("hooked", job.hooked);
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
