// The machine that a job's facts describe, in libvirt's words.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runner/contract/machine_facts.h"
#include "runner/contract/manifest.h"
#include "runner/guest/protocol.h"
#include "runner/libvirt/domain.h"
#include "runner/pipeline/record.h"

namespace hyper2kvm::pipeline {

// published: the disks' final names in the manifest's order. What the manifest does not say is taken from the
// inspection, then from defaults, which are recorded as warnings where a wrong guess would keep the machine
// from starting.
libvirt::DomainFacts machine_of(const contract::Manifest& manifest,
                                const std::vector<std::filesystem::path>& published,
                                const std::optional<guest::Inspection>& inspection, Record& record);

// The same for whoever registers the machine elsewhere: nothing is guessed.
contract::MachineFacts facts_of(const contract::Manifest& manifest,
                                const std::optional<guest::Inspection>& inspection, bool virtio);

// The name a machine is registered and published under where none is set: its own, or "vm".
std::string machine_name(const contract::Manifest& manifest);

// The manifest's disks by their numbers in it, as the machine has them.
std::vector<std::size_t> boot_disk_first(const contract::Manifest& manifest);

// The libosinfo identifier of a distribution, empty where libosinfo names none that we are sure of.
std::string libosinfo_id(const std::string& distribution, const std::string& version);

}  // namespace hyper2kvm::pipeline
