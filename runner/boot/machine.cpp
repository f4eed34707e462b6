#include "runner/boot/machine.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "runner/os/error.h"
#include "runner/os/process.h"

namespace hyper2kvm::boot {
namespace {

using nlohmann::json;

// More cards than this only make the start longer.
constexpr std::size_t kMostCards = 8;
// MiB of translated code that TCG keeps; its own default grows to a gigabyte.
constexpr const char* kTcg = "tcg,thread=multi,tb-size=128";

std::string text_of(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

json base_node(const Disk& disk, const std::string& name) {
  json node = {{"driver", std::string(contract::to_string(disk.format))},
               {"node-name", name},
               {"read-only", true},
               {"file",
                {{"driver", disk.is_device ? "host_device" : "file"},
                 {"filename", disk.image.string()},
                 {"read-only", true}}}};
  // Never what a header names.
  if (disk.format == contract::OutputFormat::kQcow2) node["backing"] = nullptr;
  return node;
}

json overlay_node(const Disk& disk, const std::string& name, const std::string& base) {
  // Scratch: nothing waits for the disk.
  const json cache = {{"direct", false}, {"no-flush", true}};
  return {
      {"driver", "qcow2"},
      {"node-name", name},
      {"backing", base},
      {"discard", "unmap"},
      {"cache", cache},
      {"file",
       {{"driver", "file"}, {"filename", disk.overlay.string()}, {"discard", "unmap"}, {"cache", cache}}}};
}

json flash_node(const std::filesystem::path& file, const std::string& name, bool read_only) {
  return {{"driver", "raw"},
          {"node-name", name},
          {"read-only", read_only},
          {"file", {{"driver", "file"}, {"filename", file.string()}, {"read-only", read_only}}}};
}

}  // namespace

std::vector<std::string> arguments_of(const Machine& machine) {
  std::vector<std::string> arguments = {machine.emulator, "-nodefaults", "-no-user-config", "-display",
                                        "none"};
  auto add = [&arguments](std::initializer_list<std::string> more) {
    arguments.insert(arguments.end(), more);
  };
  add({"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"});
  if (machine.uefi) {
    add({"-blockdev", text_of(flash_node(machine.uefi->code, "firmware", true))});
    add({"-blockdev", text_of(flash_node(machine.uefi->variables, "variables", false))});
    add({"-machine", "q35,pflash0=firmware,pflash1=variables"});
  } else {
    // The BIOS and what asks it for a screen say their text on the serial port too.
    add({"-machine", "q35,graphics=off"});
  }
  add({"-accel", machine.kvm ? "kvm" : kTcg, "-cpu", machine.kvm ? "host" : "max"});
  add({"-smp", std::to_string(machine.cpus), "-m", std::to_string(machine.memory_mib)});

  add({"-chardev", "stdio,id=console,signal=off", "-device", "isa-serial,chardev=console"});
  add({"-chardev", "socket,id=monitor,fd=" + std::to_string(kMonitorDescriptor), "-mon",
       "chardev=monitor,mode=control"});
  add({"-device", "VGA", "-device", "pvpanic", "-device", "virtio-rng-pci"});
  add({"-chardev", "socket,id=agent,fd=" + std::to_string(kAgentDescriptor), "-device", "virtio-serial-pci",
       "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"});

  for (std::size_t index = 0; index < machine.disks.size(); ++index) {
    const std::string number = std::to_string(index);
    add({"-blockdev", text_of(base_node(machine.disks[index], "base" + number))});
    add({"-blockdev", text_of(overlay_node(machine.disks[index], "overlay" + number, "base" + number))});
    // Only the first one: a firmware that found nothing on it shall say so.
    std::string device = "virtio-blk-pci,id=disk" + number + ",drive=overlay" + number;
    if (index == 0) device += ",bootindex=1";
    add({"-device", device});
  }
  for (std::size_t index = 0; index < std::min(machine.macs.size(), kMostCards); ++index) {
    const std::string number = std::to_string(index);
    add({"-netdev", "user,restrict=on,id=net" + number});
    // Without a ROM, so that no firmware waits for the network.
    std::string device = "virtio-net-pci,netdev=net" + number + ",romfile=";
    if (!machine.macs[index].empty()) device += ",mac=" + machine.macs[index];
    add({"-device", device});
  }
  return arguments;
}

std::string find_emulator() {
  std::filesystem::path found = os::find_program("qemu-system-x86_64");
  // Red Hat's name for it.
  if (found.empty() && std::filesystem::exists("/usr/libexec/qemu-kvm")) found = "/usr/libexec/qemu-kvm";
  if (found.empty())
    throw os::Error(os::ErrorKind::kInvalid, "pipeline.validate.boot",
                    "the program qemu-system-x86_64, which would start the machine, is not installed",
                    "Install the package qemu-system-x86, or switch pipeline.validate.boot off.");
  return found.string();
}

UefiFirmware find_uefi_firmware() {
  struct Place {
    const char* code;
    const char* variables;
  };
  // Debian and Ubuntu, old and new; Fedora; Arch; SUSE.
  constexpr std::array<Place, 5> kPlaces{{
      {"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
      {"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},
      {"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
      {"/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},
      {"/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"},
  }};
  for (const Place& place : kPlaces)
    if (std::filesystem::exists(place.code) && std::filesystem::exists(place.variables))
      return {place.code, place.variables};
  throw os::Error(os::ErrorKind::kInvalid, "pipeline.validate.boot",
                  "the machine starts with UEFI, and no UEFI firmware for it is installed",
                  "Install the package ovmf, or switch pipeline.validate.boot off.");
}

}  // namespace hyper2kvm::boot
