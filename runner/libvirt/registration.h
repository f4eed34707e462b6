// Registers a converted machine with libvirt, by its C API.
#pragma once

#include <string>
#include <vector>

#include "runner/contract/manifest.h"
#include "runner/libvirt/domain.h"
#include "runner/os/stop.h"

namespace hyper2kvm::libvirt {

struct Registered {
  std::string name;  // of the domain
  std::string uuid;
  std::string xml;  // as it was defined
  bool started = false;
  std::vector<std::string> warnings;  // a changed name, KVM that does not start...
};

// settings: the manifest's `libvirt`, or what a front end supplies. facts.name is used where settings.name is
// empty. Chooses kvm where it really starts a machine and qemu (TCG) where not. An existing domain of that
// name is an error with the way out (overwrite, another name) unless settings.overwrite; a running one is
// never overwritten. After a failure neither a domain nor a volume of ours is left. Throws os::Error.
Registered register_machine(const contract::Libvirt& settings, const DomainFacts& facts,
                            const os::StopToken& stop);

// Refuses early what register_machine would refuse late: the connection and the name. Throws os::Error.
void check_registration(const contract::Libvirt& settings, const std::string& name,
                        const os::StopToken& stop);

}  // namespace hyper2kvm::libvirt
