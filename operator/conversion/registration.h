// spec.register: what is asked for and what is wrong with it; for KubeVirt the object that comes of it, for
// libvirt what the runner is told.
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

// Where the runner has the keys of spec.register.libvirt.secretName as files.
inline constexpr const char* kLibvirtFolder = "/credentials/libvirt";

// The manifest's section `libvirt`, as it goes over what the input says. The URI names the files of the
// secret; nothing of what is in them is known here.
Json libvirt_section(const LibvirtWishes& wishes);

}  // namespace hyper2kvm::conversion
