#include "runner/daemon/description.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace hyper2kvm::daemon {
namespace {

constexpr std::size_t kMostNamed = 4;

const char* word_of(Waiting waiting) {
  switch (waiting) {
    case Waiting::kForSlot:
      return "slot";
    case Waiting::kForTime:
      return "time";
    case Waiting::kForSpace:
      return "space";
    case Waiting::kForSameMachine:
      return "same machine";
    case Waiting::kForDisk:
      return "disk";
  }
  return "";
}

std::string describe_running(const RunningJob& running) {
  const Progress& progress = running.progress;
  std::string text = running.result_name + " " + (progress.stage.empty() ? "starts" : progress.stage);
  if (progress.total_bytes != 0) text += fmt::format(" {:.0f}%", progress.percent());
  return text;
}

}  // namespace

nlohmann::json describe(const Job& job, const Progress* progress, const Waiting* waiting) {
  nlohmann::json object = to_json(job);
  if (job.phase == Phase::kClaimed) object["phase"] = to_string(Phase::kQueued);
  if (progress != nullptr) {
    object["progress"] = {{"stage", progress->stage},
                          {"done_bytes", progress->done_bytes},
                          {"total_bytes", progress->total_bytes},
                          {"percent", progress->percent()},
                          {"bytes_per_second", progress->bytes_per_second}};
    if (progress->seconds_left) object["progress"]["seconds_left"] = *progress->seconds_left;
  }
  if (waiting != nullptr) object["waits_for"] = word_of(*waiting);
  return object;
}

std::string status_line(const std::filesystem::path& watch_dir, const std::vector<RunningJob>& running,
                        std::size_t queued, std::string_view state) {
  std::string text = fmt::format("WATCH_DIR={}: {} running", watch_dir.string(), running.size());
  for (std::size_t i = 0; i < std::min(running.size(), kMostNamed); ++i)
    text += (i == 0 ? " (" : ", ") + describe_running(running[i]);
  if (!running.empty()) text += running.size() > kMostNamed ? ", ...)" : ")";
  text += fmt::format(", {} queued", queued);
  if (!state.empty()) text += fmt::format(", {}", state);
  return text;
}

}  // namespace hyper2kvm::daemon
