// Objects for the tests: a conversion that is as it should be, and what the cluster makes of it.
#pragma once

#include "operator/conversion/decide.h"

namespace hyper2kvm::conversion {

// A VMConversion "web" in "vms" as the API server has it, with its finalizer.
Json sample_object();
Conversion sample();
// Everything is there, and a place is free.
Observed observed(const Conversion& conversion);
// One that runs its first attempt, and its Job.
Observed running();
JobView job_of(const Conversion& conversion);
PodView pod_of(const Conversion& conversion);
// What the runner leaves behind.
std::string success_message();
// The same of a survey that found so many disks, the n-th of n GiB.
std::string survey_message(std::size_t disks);
std::string failure_message(const std::string& stage, const std::string& error, bool may_pass);
PodView ended(PodView pod, int exit_code, const std::string& message);
// The same conversion when its next attempt has been started and its runner has just ended so.
Observed after_its_runner(Observed seen, int exit_code, const std::string& message);

template <class A>
const A* find_action(const Decision& decision) {
  for (const Action& action : decision.actions)
    if (const A* found = std::get_if<A>(&action)) return found;
  return nullptr;
}
std::string reason_of(const Status& status, const char* condition);
std::string value_of(const Status& status, const char* condition);

}  // namespace hyper2kvm::conversion
