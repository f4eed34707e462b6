// What comes of a runner that has ended well: why that may not be enough, and what the status tells of it.
// Pure functions of their arguments; conversion.status is the one before the result was read.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/conversion/conversion.h"
#include "operator/conversion/failure.h"
#include "runner/contract/termination.h"

namespace hyper2kvm::conversion {

// --- of a survey ---
// Nothing where a claim can be made for each disk.
std::optional<Failure> problem_of_survey(const contract::TerminationResult& result);
std::vector<PlannedDisk> planned_disks(const Conversion& conversion,
                                       const contract::TerminationResult& result);

// --- of a conversion ---
// The input itself may ask for a dry run.
bool made_nothing(const contract::TerminationResult& result);
// Nothing where its disks are the conversion's result.
std::optional<Failure> problem_of_disks(const contract::TerminationResult& result);
// Nothing where KubeVirt can take the machine from its claims.
std::optional<Failure> problem_of_machine(const Conversion& conversion,
                                          const contract::TerminationResult& result);
std::vector<Artifact> artifacts_of(const Conversion& conversion, const contract::TerminationResult& result);
std::optional<Guest> guest_of(const contract::TerminationResult& result);
// Where the disks are, for people: "claim/directory", "claim", "claim and 2 more".
std::string target_of(const Conversion& conversion, const contract::TerminationResult& result);

}  // namespace hyper2kvm::conversion
