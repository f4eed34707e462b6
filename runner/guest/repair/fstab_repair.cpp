// fstab(5) and crypttab(5).
//
// stabilize-all renames what kernel names, by-path and hypervisor by-id names stand for; bypath-only only
// by-path names; noop nothing. A name is replaced only where it is certain what it stood for.
#include <algorithm>

#include "runner/guest/repair/repair.h"
#include "runner/guest/storage/device_name.h"
#include "runner/guest/system/fstab.h"

namespace hyper2kvm::guest {
namespace {

bool is_to_rename(NameKind kind, contract::FstabMode mode) {
  switch (mode) {
    case contract::FstabMode::kStabilizeAll:
      return kind == NameKind::kKernel || kind == NameKind::kByPath || kind == NameKind::kById;
    case contract::FstabMode::kBypathOnly:
      return kind == NameKind::kByPath;
    case contract::FstabMode::kNoop:
      return false;
  }
  return false;
}

// Shared folders of a hypervisor's host: gone with it, and without nofail the boot would stop for them.
bool is_shared_folder(const std::string& type) {
  return type == "vmhgfs" || type == "fuse.vmhgfs-fuse" || type == "vboxsf" || type == "prl_fs";
}

// What the boot waits for: lines without nofail or noauto.
bool is_awaited(const TableLine& line) {
  return !line.has_option(kFstabOptions, "noauto") && !line.has_option(kFstabOptions, "nofail");
}

void repair_mounts(Repair& repair) {
  std::optional<std::string> text = repair.root.read("/etc/fstab");
  if (!text) {
    repair.root.warn("The guest has no /etc/fstab.");
    return;
  }
  if (repair.request.fix.print_fstab) repair.printed["fstab before"] = *text;
  Table table = Table::parse(*text);
  contract::FstabMode mode = repair.request.fix.fstab_mode;
  for (TableLine& line : table.lines) {
    if (line.fields.size() < 2) continue;
    const std::string name = line.field(kFstabDevice);
    if (mode != contract::FstabMode::kNoop && is_shared_folder(line.field(kFstabType))) {
      line.text.insert(0, "# a shared folder of the old hypervisor: ");
      line.fields.clear();
      continue;
    }
    ResolvedDevice device = resolve_device(name, line.field(kFstabType), repair.storage);
    if (!is_to_rename(device.name.kind, mode)) continue;
    std::string stable = device.volume == nullptr ? "" : stable_name(*device.volume);
    if (!stable.empty()) {
      line.set_field(kFstabDevice, stable);
    } else if (is_awaited(line)) {
      repair.root.warn("/etc/fstab: " + name + " (" + line.field(kFstabMountPoint) +
                       ") is on none of the machine's disks; the guest may wait for it when it starts.");
    }
  }
  repair.root.write("/etc/fstab", table.text(),
                    "Device names depend on the hypervisor; what is on the devices does not.");
  if (repair.request.fix.print_fstab) repair.printed["fstab after"] = table.text();
}

void repair_crypttab(Repair& repair) {
  std::optional<std::string> text = repair.root.read_if_sane("/etc/crypttab");
  if (!text) return;
  Table table = Table::parse(*text);
  for (TableLine& line : table.lines) {
    if (line.fields.size() < 2) continue;
    ResolvedDevice device = resolve_device(line.field(1), "", repair.storage);
    if (!is_to_rename(device.name.kind, repair.request.fix.fstab_mode)) continue;
    std::string stable = device.volume == nullptr ? "" : stable_name(*device.volume);
    if (!stable.empty())
      line.set_field(1, stable);
    else
      repair.root.warn("/etc/crypttab: " + line.field(1) + " is on none of the machine's disks.");
  }
  repair.root.write("/etc/crypttab", table.text(),
                    "Device names depend on the hypervisor; what is on the devices does not.");
}

}  // namespace

void repair_fstab(Repair& repair) {
  repair_mounts(repair);
  if (repair.request.fix.fstab_mode != contract::FstabMode::kNoop) repair_crypttab(repair);
}

}  // namespace hyper2kvm::guest
