// The OVF descriptor: what a machine is made of. Parsing only: no file is opened.
//
// Source: DMTF DSP0243 1.1 and 2.0; the extensions of VMware (vmw:Config, vmw:osType) and VirtualBox
// (vbox:Machine) as their exports have them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runner/contract/manifest.h"

namespace hyper2kvm::image {

constexpr std::size_t kLargestOvf = 4u << 20;

struct OvfDisk {
  std::string label;                             // "Hard Disk 1"
  std::string file_name;                         // of the References, percent signs decoded
  std::optional<std::uint64_t> file_size;        // bytes, where the OVF says it
  std::optional<std::uint64_t> capacity;         // bytes, where the OVF says it in a unit that is known
  std::optional<contract::SourceFormat> format;  // where the OVF says it
};

struct OvfNic {
  std::string mac;  // lower case with colons, or empty
  std::string network;
};

struct OvfMachine {
  std::string name;
  std::string provider;  // vsphere, virtualbox, or ovf
  std::optional<std::uint32_t> cpu;
  std::optional<std::uint64_t> memory;  // bytes
  contract::Firmware firmware = contract::Firmware::kUnknown;
  bool secure_boot = false;
  contract::OsHint os_hint = contract::OsHint::kUnknown;
  std::string os_version;
  std::vector<OvfDisk> disks;  // by controller and place on it
  std::vector<OvfNic> nics;
  std::vector<std::string> warnings;
};

// name is for messages. Throws os::Error (kInvalid).
OvfMachine parse_ovf(std::string_view text, const std::string& name);

// "byte * 2^20", "MegaBytes": how many bytes that is; nothing for a unit that is not known.
std::optional<std::uint64_t> parse_allocation_unit(std::string_view text);

}  // namespace hyper2kvm::image
