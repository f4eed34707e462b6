// Why an attempt failed, told from what is left of its pod and its Job.
#pragma once

#include <optional>
#include <string>

#include "operator/conversion/children.h"
#include "runner/contract/termination.h"

namespace hyper2kvm::conversion {

struct Failure {
  std::string reason;  // one word in CamelCase, of a condition
  std::string stage;   // where the runner said one
  std::string message;
  bool may_pass = false;  // to be tried again
};

// What became of a runner that has ended: its result, or why there is none.
struct PodResult {
  std::optional<contract::TerminationResult> success;
  std::optional<Failure> failure;
};

// Nothing while the pod has not ended.
std::optional<PodResult> result_of(const PodView& pod);

// Why a pod that is there does not convert yet: reason and message; nothing where it is merely starting.
struct Obstacle {
  std::string reason, message;
};
std::optional<Obstacle> obstacle_of(const PodView& pod);

}  // namespace hyper2kvm::conversion
