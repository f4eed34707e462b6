// The objects that the operator makes for a conversion, as JSON. Pure functions of their arguments.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/conversion/children.h"
#include "operator/conversion/conversion.h"

namespace hyper2kvm::conversion {

// What the operator's own configuration adds to every runner.
struct RunnerDefaults {
  std::string image;
  std::vector<std::string> namespaces;  // those with runners; empty: all
};

// The Job of the n-th attempt, from 1. The same attempt always has the same name, so that it cannot be made
// twice; a conversion that was deleted and made again has another UID and so other names.
std::string job_name(const Conversion& conversion, std::int64_t attempt);

// Where the runner has the output claim, and where it has claims that are block volumes.
inline constexpr const char* kOutputFolder = "/output";
inline constexpr const char* kOutputDevice = "/dev/output";
inline constexpr const char* kSourceDevice = "/dev/source";

// What the runner is started with: the program and its arguments.
std::vector<std::string> runner_command(const Conversion& conversion, BlockVolumes block = {});

// The pod meets the restricted Pod Security Standard and has no credentials of the cluster.
// node_slot: where there is a limit for each node.
Json make_job(const Conversion& conversion, std::int64_t attempt, const RunnerDefaults& defaults,
              std::optional<std::size_t> node_slot, BlockVolumes block = {});

// The claim of spec.output.volumeClaimTemplate. It has no owner: the disks outlive the conversion.
Json make_claim(const Conversion& conversion);

}  // namespace hyper2kvm::conversion
