// The libvirt domain that a converted machine becomes, as a value, and its XML.
// Source: libvirt's domain format (https://libvirt.org/formatdomain.html).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "runner/contract/manifest.h"

namespace hyper2kvm::libvirt {

struct DomainDisk {
  std::filesystem::path path;
  contract::OutputFormat format = contract::OutputFormat::kQcow2;
  bool block_device = false;
};

struct DomainNic {
  std::string mac;      // empty: libvirt chooses
  std::string network;  // libvirt network, or
  std::string bridge;   // host bridge; neither: a user-mode interface
};

struct DomainFacts {
  std::string name;  // as the user wants it; domain_name makes it one that libvirt takes
  std::uint32_t cpus = 2;
  std::uint64_t memory_bytes = 2ull << 30;
  contract::Firmware firmware = contract::Firmware::kBios;
  bool secure_boot = false;
  std::string os_id;              // libosinfo id ("http://debian.org/debian/12") or empty
  std::string title;              // where the machine came from, for people
  std::vector<DomainDisk> disks;  // the boot disk first
  std::vector<DomainNic> nics;
};

// The host's side: what the emulator offers.
struct HostFacts {
  std::string domain_type = "qemu";  // kvm or qemu
  std::string emulator;              // path, empty: libvirt's default
  std::string machine = "q35";
  // Firmware image and NVRAM template for UEFI; empty: firmware='efi' autoselection.
  std::string uefi_loader, uefi_nvram_template;
  bool uefi_loader_secure = false;
};

// The machine's name where libvirt takes it; otherwise lower case, spaces to dashes, other characters dropped
// ("vm" if nothing is left).
std::string domain_name(const std::string& wanted);

// Escaped, indented XML. Throws os::Error (kInvalid) for what cannot be a domain (no disk, no CPU).
std::string domain_xml(const DomainFacts& facts, const HostFacts& host);

}  // namespace hyper2kvm::libvirt
