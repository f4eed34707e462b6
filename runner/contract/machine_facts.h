// What a converted machine needs to run again, for whoever registers it: from its manifest, and from what was
// found in its guest. Values only; thread-safe as any value. Source: docs/report.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "runner/contract/manifest.h"

namespace hyper2kvm::contract {

class Section;

struct MachineFacts {
  std::string name;
  std::uint32_t cpus = 0;    // 0: the input does not say
  std::uint32_t mem_gb = 0;  // GiB; 0: the input does not say
  Firmware firmware = Firmware::kUnknown;
  bool secure_boot = false;
  bool virtio = false;         // the guest was made ready for virtio
  std::vector<Nic> nics;       // in the order of the source machine's slots; those that fitted
  std::size_t total_nics = 0;  // all
  // Of the guest; empty where nobody looked at it.
  std::string os_type;       // linux, windows, unknown
  std::string distribution;  // ID of os-release: debian, rhel...
  std::string version;       // VERSION_ID of os-release
  std::string pretty_name;   // PRETTY_NAME of os-release
  std::string hostname;
  std::string architecture;  // x86_64, aarch64...
};

// longest: what the text of the object may have at most, in bytes. NICs that do not fit are left out, from
// the last; 0 is no limit.
nlohmann::json to_json(const MachineFacts& facts, std::size_t longest = 0);
// Hostile input: throws os::Error (kInvalid).
MachineFacts read_machine_facts(Section& section);

}  // namespace hyper2kvm::contract
