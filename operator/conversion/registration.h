// spec.register.kubevirt: what is asked for, what is wrong with it, and the object that comes of it.
// Pure functions of their arguments.
#pragma once

#include <string>

#include "operator/conversion/conversion.h"
#include "operator/kubevirt/virtual_machine.h"
#include "runner/contract/machine_facts.h"

namespace hyper2kvm::conversion {

// As a sentence; empty where there is nothing wrong, also where nothing is to be registered.
std::string problem_of_registration(const Spec& spec);

// Where the machine is, or will be: its name is spec.register.kubevirt.name, else spec.vm.name, else the
// conversion's, made to fit.
kube::ObjectKey machine_key(const Conversion& conversion);

// The object as it is applied. It has no owner: the machine outlives the conversion. Throws os::Error
// (kInvalid) as kubevirt::virtual_machine.
Json make_machine(const Conversion& conversion, const contract::MachineFacts& facts);

}  // namespace hyper2kvm::conversion
