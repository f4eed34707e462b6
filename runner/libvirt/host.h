// What the emulator on libvirt's host offers, and what we take of it.
//
// Pure functions over the XML of virConnectGetDomainCapabilities
// (https://libvirt.org/formatdomaincaps.html).
#pragma once

#include <string>

#include "runner/libvirt/domain.h"
#include "runner/libvirt/kvm.h"

namespace hyper2kvm::libvirt {

struct DomainCapabilities {
  std::string emulator;  // path
  bool uefi = false;     // firmware='efi' can be chosen
  bool secure_uefi = false;
  bool tpm = false;  // TPM 2.0 emulated by swtpm
  bool vnc = false;
  bool host_passthrough = false, host_model = false, maximum = false;  // CPU modes
};

// Throws os::Error (kSystem) for what is no such document.
DomainCapabilities parse_domain_capabilities(const std::string& xml);

// kvm or qemu, and what the user should know about the choice (may be empty).
struct DomainType {
  std::string type;
  std::string warning;
};
// offered: libvirt lists type kvm. verdict is asked for only where libvirt is local: a remote one is
// believed.
DomainType choose_domain_type(bool offered, bool local, const KvmVerdict& verdict);

// Throws os::Error (kInvalid) where the host lacks what the machine needs: UEFI, Secure Boot, a TPM.
HostFacts host_facts(const DomainCapabilities& capabilities, const std::string& domain_type,
                     const DomainFacts& facts);

}  // namespace hyper2kvm::libvirt
