#include "operator/conversion/status.h"

#include <algorithm>

namespace hyper2kvm::conversion {
namespace {

using kube::find_at;
using kube::integer_at;
using kube::Json;
using kube::text_at;

Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

Phase phase_of(const std::string& word) {
  for (Phase phase : kAllPhases)
    if (to_string(phase) == word) return phase;
  return Phase::kNone;
}

std::optional<Progress> read_progress(const Json& object) {
  const Json* found = find_at(object, {"status", "progress"});
  if (found == nullptr || !found->is_object()) return std::nullopt;
  Progress progress;
  progress.stage = text_at(*found, {"stage"});
  progress.done_bytes = integer_at(*found, {"doneBytes"});
  progress.total_bytes = integer_at(*found, {"totalBytes"});
  progress.bytes_per_second = integer_at(*found, {"bytesPerSecond"});
  if (find_at(*found, {"secondsLeft"}) != nullptr)
    progress.seconds_left = integer_at(*found, {"secondsLeft"});
  return progress;
}

Json to_json(const Progress& progress) {
  // Nulls, because a merge patch keeps what it does not mention.
  Json object = {{"stage", text_or_null(progress.stage)},
                 {"doneBytes", progress.done_bytes},
                 {"totalBytes", progress.total_bytes},
                 {"bytesPerSecond", progress.bytes_per_second},
                 {"secondsLeft", progress.seconds_left ? Json(*progress.seconds_left) : Json()},
                 {"percent", nullptr},
                 {"percentText", text_or_null(progress.stage)}};
  if (auto percent = progress.percent()) {
    object["percent"] = *percent;
    object["percentText"] = progress.stage + " " + std::to_string(*percent) + "%";
  }
  return object;
}

std::optional<Guest> read_guest(const Json& object) {
  const Json* found = find_at(object, {"status", "guest"});
  if (found == nullptr || !found->is_object()) return std::nullopt;
  return Guest{text_at(*found, {"osType"}),   text_at(*found, {"distribution"}),
               text_at(*found, {"version"}),  text_at(*found, {"name"}),
               text_at(*found, {"hostname"}), text_at(*found, {"architecture"})};
}

Json to_json(const Guest& guest) {
  return {{"osType", text_or_null(guest.os_type)},    {"distribution", text_or_null(guest.distribution)},
          {"version", text_or_null(guest.version)},   {"name", text_or_null(guest.name)},
          {"hostname", text_or_null(guest.hostname)}, {"architecture", text_or_null(guest.architecture)}};
}

}  // namespace

std::string_view to_string(Phase phase) {
  switch (phase) {
    case Phase::kNone:
      return "";
    case Phase::kPending:
      return "Pending";
    case Phase::kQueued:
      return "Queued";
    case Phase::kRunning:
      return "Running";
    case Phase::kSucceeded:
      return "Succeeded";
    case Phase::kFailed:
      return "Failed";
    case Phase::kSuspended:
      return "Suspended";
    case Phase::kDeleting:
      return "Deleting";
  }
  return "";
}

std::optional<int> Progress::percent() const {
  if (total_bytes <= 0) return std::nullopt;
  double share = static_cast<double>(std::clamp<std::int64_t>(done_bytes, 0, total_bytes)) /
                 static_cast<double>(total_bytes);
  return static_cast<int>(share * 100);
}

Status read_status(const Json& object) {
  Status status;
  status.observed_generation = integer_at(object, {"status", "observedGeneration"});
  status.phase = phase_of(text_at(object, {"status", "phase"}));
  status.message = text_at(object, {"status", "message"});
  status.attempts = integer_at(object, {"status", "attempts"});
  status.failures = integer_at(object, {"status", "failures"});
  status.start_time = text_at(object, {"status", "startTime"});
  status.completion_time = text_at(object, {"status", "completionTime"});
  status.next_retry_time = text_at(object, {"status", "nextRetryTime"});
  status.job_name = text_at(object, {"status", "jobName"});
  status.job_uid = text_at(object, {"status", "jobUid"});
  status.node = text_at(object, {"status", "node"});
  status.target = text_at(object, {"status", "target"});
  status.failed_stage = text_at(object, {"status", "failedStage"});
  status.progress = read_progress(object);
  if (const Json* list = find_at(object, {"status", "artifacts"}); list != nullptr && list->is_array())
    for (const Json& item : *list)
      status.artifacts.push_back({text_at(item, {"diskId"}), text_at(item, {"claimName"}),
                                  text_at(item, {"path"}), text_at(item, {"format"}),
                                  integer_at(item, {"sizeBytes"})});
  if (const Json* list = find_at(object, {"status", "disks"}); list != nullptr && list->is_array())
    for (const Json& item : *list)
      status.disks.push_back({text_at(item, {"id"}), integer_at(item, {"virtualSizeBytes"}),
                              integer_at(item, {"bootOrderHint"}), text_at(item, {"claimName"})});
  status.guest = read_guest(object);
  status.conditions = kube::conditions_of(object);
  return status;
}

Json to_json(const Status& status) {
  Json artifacts;
  for (const Artifact& artifact : status.artifacts) {
    Json object = {{"diskId", artifact.disk_id},
                   {"claimName", artifact.claim_name},
                   {"format", artifact.format},
                   {"sizeBytes", artifact.size_bytes}};
    // An array is replaced as a whole, so nothing needs a null. (Some servers take an empty text for one.)
    if (!artifact.path.empty()) object["path"] = artifact.path;
    artifacts.push_back(std::move(object));
  }
  Json disks;
  for (const PlannedDisk& disk : status.disks)
    disks.push_back({{"id", disk.id},
                     {"virtualSizeBytes", disk.virtual_size_bytes},
                     {"bootOrderHint", disk.boot_order_hint},
                     {"claimName", disk.claim_name}});
  return {{"observedGeneration", status.observed_generation},
          {"phase", text_or_null(std::string(to_string(status.phase)))},
          {"message", text_or_null(status.message)},
          {"attempts", status.attempts},
          {"failures", status.failures},
          {"startTime", text_or_null(status.start_time)},
          {"completionTime", text_or_null(status.completion_time)},
          {"nextRetryTime", text_or_null(status.next_retry_time)},
          {"jobName", text_or_null(status.job_name)},
          {"jobUid", text_or_null(status.job_uid)},
          {"node", text_or_null(status.node)},
          {"target", text_or_null(status.target)},
          {"failedStage", text_or_null(status.failed_stage)},
          {"progress", status.progress ? to_json(*status.progress) : Json()},
          {"disks", disks},
          {"artifacts", artifacts},
          {"guest", status.guest ? to_json(*status.guest) : Json()},
          {"conditions", kube::to_json(status.conditions)}};
}

}  // namespace hyper2kvm::conversion
