// The throw-away machine as QEMU's command line: virtio everywhere, as it will be registered, but for what
// would reach outside.
//
// Its disks are overlays over the converted images, which are opened read-only; its network is QEMU's own,
// which hands out an address and lets nothing out; QEMU may start no program. Nothing of the host's names is
// ever joined into an option: paths stand in JSON. Pure. Source: QEMU 7.2, qemu-options.hx and
// qapi/block-core.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runner/contract/manifest.h"

namespace hyper2kvm::boot {

struct Disk {
  std::filesystem::path image;  // a converted disk; never written
  contract::OutputFormat format = contract::OutputFormat::kQcow2;
  bool is_device = false;         // image is a block device
  std::filesystem::path overlay;  // an existing empty qcow2 with the disk's virtual size, without a backing
                                  // name in it
};

struct UefiFirmware {
  std::filesystem::path code;
  std::filesystem::path variables;  // a copy of this machine's own
};

struct Machine {
  std::string emulator;  // path of qemu-system-x86_64
  bool kvm = false;      // else TCG
  std::uint32_t cpus = 1;
  std::uint64_t memory_mib = 1024;
  std::optional<UefiFirmware> uefi;  // else BIOS
  std::vector<Disk> disks;           // the first one boots
  std::vector<std::string> macs;     // of its network cards, "" where any will do
};

// Descriptors of the process: 1 is the serial console.
inline constexpr int kMonitorDescriptor = 3;
inline constexpr int kAgentDescriptor = 4;

std::vector<std::string> arguments_of(const Machine& machine);

// The emulator, and the UEFI firmware of the host (code and template of the variables). Throws os::Error
// (kInvalid) that names the packages.
std::string find_emulator();
UefiFirmware find_uefi_firmware();

}  // namespace hyper2kvm::boot
