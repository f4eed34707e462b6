// The libvirt domain that a converted machine becomes, as a value, and its XML.
//
// Pure: nothing here talks to libvirt, so every choice is visible in a test. Values only; thread-safe as any
// value. Source: libvirt's domain format (https://libvirt.org/formatdomain.html) and the defaults of
// virt-install.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "runner/contract/manifest.h"

namespace hyper2kvm::libvirt {

struct DomainDisk {
  // As the emulator's host sees it. Registration with a pool puts the volume's path here.
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
  std::string uuid;  // empty: libvirt chooses (or the replaced domain's)
  std::uint32_t cpus = 2;
  std::uint64_t memory_bytes = 2ull << 30;                  // rounded up to whole MiB
  contract::Firmware firmware = contract::Firmware::kBios;  // kUnknown is BIOS
  bool secure_boot = false;                                 // with UEFI only
  bool tpm = false;                                         // an emulated TPM 2.0 (swtpm on the host)
  // False for a guest that was not made ready for virtio: its disks are then SATA and its NICs e1000e, which
  // guests have had drivers for since about 2010.
  bool virtio = true;
  std::string os_id;              // libosinfo id ("http://debian.org/debian/12") or empty
  std::string title;              // where the machine came from, for people; one line
  std::vector<DomainDisk> disks;  // the boot disk first
  std::vector<DomainNic> nics;
};

// A storage volume that registration made for a domain. It is named in the domain's metadata, so that
// replacing the domain later removes the volumes that were made for it, and no others.
struct OwnedVolume {
  std::string pool;
  std::string name;
};

// The host's side: what the emulator offers.
struct HostFacts {
  std::string domain_type = "qemu";  // kvm or qemu
  std::string emulator;              // path, empty: libvirt's default
  std::string machine = "q35";
  // host-passthrough, host-model, maximum or empty (the emulator's default model).
  std::string cpu_mode = "maximum";
  // Firmware image and NVRAM template for UEFI; empty: firmware='efi' autoselection.
  std::string uefi_loader, uefi_nvram_template;
  bool uefi_loader_secure = false;
  bool vnc = true;  // false: the emulator was built without it, the machine is headless
};

// The machine's name where libvirt takes it; otherwise lower case, spaces to dashes, other characters dropped
// ("vm" if nothing is left).
std::string domain_name(const std::string& wanted);

// Escaped, indented XML. Throws os::Error (kInvalid) for what cannot be a domain (no disk, no CPU, no memory,
// Secure Boot without UEFI, a MAC address that is none).
std::string domain_xml(const DomainFacts& facts, const HostFacts& host,
                       const std::vector<OwnedVolume>& owned_volumes = {});

// The volumes that the metadata of a domain's XML names. Hostile input: what cannot be read as ours is left
// out, and there are never more than 256.
std::vector<OwnedVolume> owned_volumes(const std::string& domain_xml);

}  // namespace hyper2kvm::libvirt
