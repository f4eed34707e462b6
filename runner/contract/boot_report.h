// What the report says of the converted machine's start: what it needs (boot facts, always), and what was
// seen when it was started (a boot trial, where asked for). Source: docs/report.md. Values only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace hyper2kvm::contract {

// One thing without which the guest does not start, found out without starting it.
struct BootFact {
  std::string name;     // boot_loader, kernel, virtio, root, fstab, crypttab
  std::string subject;  // what was looked at: a path in the guest, a name in fstab
  bool holds = false;
  std::string detail;  // what it resolved to, or why it does not
};

struct BootTrial {
  bool up = false;
  std::string sign;                                 // what told so: "login prompt"; of a failure the reason
  double seconds = 0;                               // from power-on
  std::string accelerator;                          // kvm, tcg
  std::string firmware;                             // bios, uefi
  std::uint64_t bytes_read = 0, bytes_written = 0;  // by the machine, of all its disks
  std::string console_tail;                         // the end of its serial console, printable
  std::filesystem::path screenshot;                 // PNG; empty where none was taken
};

nlohmann::json to_json(const BootFact& fact);
nlohmann::json to_json(const BootTrial& trial);

}  // namespace hyper2kvm::contract
