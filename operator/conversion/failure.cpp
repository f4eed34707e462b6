#include "operator/conversion/failure.h"

#include "runner/contract/text.h"
#include "runner/os/error.h"

namespace hyper2kvm::conversion {
namespace {

constexpr std::size_t kMessageBytes = 2048;

std::string clean(const std::string& text) { return contract::printable(text, kMessageBytes); }

Failure failure_of(const contract::TerminationResult& result) {
  return {result.failed_stage.empty() ? "ConversionFailed" : "StageFailed", result.failed_stage,
          clean(result.error.empty() ? "The conversion failed without saying why." : result.error),
          result.may_pass};
}

// The runner has left no result of its own.
Failure failure_without_result(const PodView& pod, const PodView::Termination& ended) {
  if (ended.reason == "OOMKilled")
    return {"OOMKilled", "",
            "The runner was killed because it used more memory than its limit. Raise "
            "spec.runner.resources.limits.memory.",
            false};
  if (pod.reason == "DeadlineExceeded")
    return {"DeadlineExceeded", "", "The runner took longer than it may.", false};
  std::string told = ended.message.empty() ? "" : " It said last: " + clean(ended.message);
  if (ended.reason == "ContainerCannotRun" || ended.reason == "StartError")
    return {"RunnerCannotStart", "", "The runner could not be started." + told, false};
  if (ended.exit_code == 137 || ended.exit_code == 143 || ended.signal != 0)
    return {"RunnerKilled", "",
            "The runner was killed from outside (status " + std::to_string(ended.exit_code) + ")." + told,
            true};
  return {"RunnerCrashed", "",
          "The runner ended with status " + std::to_string(ended.exit_code) + " and left no result." + told,
          ended.exit_code != 2};
}

}  // namespace

std::optional<PodResult> result_of(const PodView& pod) {
  if (pod.terminated) {
    try {
      contract::TerminationResult result = contract::parse_termination_message(pod.terminated->message);
      if (!result.success) return PodResult{{}, failure_of(result)};
      if (pod.terminated->exit_code == 0) return PodResult{std::move(result), {}};
    } catch (const os::Error&) {
      // Not a result: a crash, or the end of a log.
    }
  }
  if (pod.phase == "Failed" && pod.reason == "Evicted")
    return PodResult{{}, Failure{"Evicted", "", "The node evicted the runner: " + clean(pod.message), true}};
  if (pod.terminated) return PodResult{{}, failure_without_result(pod, *pod.terminated)};
  if (pod.phase == "Failed")
    return PodResult{{},
                     Failure{pod.reason.empty() ? "PodFailed" : pod.reason, "",
                             "The runner's pod failed: " +
                                 clean(pod.message.empty() ? "no reason was given" : pod.message),
                             true}};
  return std::nullopt;
}

std::optional<Obstacle> obstacle_of(const PodView& pod) {
  if (pod.is_unschedulable)
    return Obstacle{"Unschedulable", "No node can run the runner: " + clean(pod.scheduling_message)};
  if (pod.waiting_reason == "ErrImagePull") return Obstacle{"ImagePullBackOff", clean(pod.waiting_message)};
  for (const char* known : {"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull",
                            "CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
    if (pod.waiting_reason == known) return Obstacle{known, clean(pod.waiting_message)};
  return std::nullopt;
}

}  // namespace hyper2kvm::conversion
