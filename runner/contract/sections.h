// The parts of the Artifact Manifest, one function each. Internal to this room and its tests.
#pragma once

#include "runner/contract/manifest.h"
#include "runner/contract/section.h"

namespace hyper2kvm::contract {

inline constexpr std::size_t kMaximumDisks = 256;
inline constexpr std::size_t kMaximumNics = 256;
inline constexpr std::size_t kMaximumNotes = 10'000;

// Reads a whole document; reading gathers warnings and the keys that were asked for.
Manifest read_manifest(const Value& document, Reading& reading);

Source read_source(Section& section);
Vm read_vm(Section& section);
std::vector<Disk> read_disks(Section& document);
std::vector<Nic> read_nics(Section& document);
std::vector<std::string> read_notes(Section& document);
std::vector<std::string> read_warnings(Section& document);
Pipeline read_pipeline(Section& section);
GuestConfiguration read_configuration(Section& section);
Output read_output(Section& section);
Options read_options(Section& section);
Libvirt read_libvirt(Section& section);

}  // namespace hyper2kvm::contract
