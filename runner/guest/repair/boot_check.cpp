// What must be true before the guest is let go: its default kernel is there, drives virtio from the first
// moment, is told a root that exists, and finds in fstab what it waits for.
#include "runner/guest/repair/repair.h"
#include "runner/guest/storage/device_name.h"
#include "runner/guest/system/fstab.h"
#include "runner/guest/system/text.h"
#include "runner/os/error.h"

namespace hyper2kvm::guest {
namespace {

[[noreturn]] void refuse(const std::string& problem, const std::string& advice) {
  throw os::Error(os::ErrorKind::kInvalid, "The guest", problem, advice);
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

void check_kernels(Repair& repair) {
  if (repair.repaired_kernels.empty())
    refuse("no kernel was found in it",
           "Install a kernel and a boot loader in the source machine and export it again.");
  const Kernel* chosen = nullptr;
  for (const Kernel& kernel : repair.repaired_kernels)
    if (kernel.is_default) chosen = &kernel;
  if (chosen == nullptr) chosen = &repair.repaired_kernels.front();
  std::string name = chosen->version.empty() ? chosen->image : chosen->version;
  if (!chosen->virtio_ready) {
    if (!repair.request.fix.regen_initramfs) {
      repair.root.warn(
          "Kernel " + name + " lacks " + joined(chosen->missing_drivers) +
          " in its initramfs, and pipeline.fix.regen_initramfs is off: the guest may not find its disks.");
      return;
    }
    refuse("its kernel " + name + " has no virtio drivers (" + joined(chosen->missing_drivers) + ")",
           "Install a kernel with virtio_pci and virtio_blk in the source machine, make it the default and "
           "export the "
           "machine again.");
  }
  for (const std::string& driver : chosen->missing_drivers)
    if (driver == "virtio_net")
      repair.root.warn("Kernel " + name +
                       " has no virtio_net: give the machine another model of network card.");
  for (std::size_t index = 0; index < repair.repaired_kernels.size(); ++index) {
    const Kernel& kernel = repair.repaired_kernels[index];
    if (!kernel.virtio_ready && &kernel != chosen && repair.kernels[index].in_menu)
      repair.root.warn("Kernel " + (kernel.version.empty() ? kernel.image : kernel.version) +
                       " of the boot menu cannot drive virtio disks.");
  }
}

// The value of the last root= of a command line.
std::string root_of(std::string_view options) {
  std::string root;
  for (std::string_view word : words_of(options))
    if (word.starts_with("root=")) root = word.substr(5);
  if (root.size() >= 2 && (root.front() == '"' || root.front() == '\''))
    root = root.substr(1, root.size() - 2);
  return root;
}

void check_loader(Repair& repair) {
  BootMenu menu = read_boot_menu(repair.root);
  const BootEntry* entry = menu.default_entry();
  if (entry == nullptr) {
    repair.root.warn("No boot loader that we know was found in the guest.");
    return;
  }
  std::string root = root_of(entry->options);
  if (root.empty() || root.find('$') != std::string::npos) return;
  ResolvedDevice device = resolve_device(root, "", repair.storage);
  if (device.name.kind == NameKind::kStable) {
    if (device.volume == nullptr &&
        (root.starts_with("UUID=") || root.starts_with("LABEL=") || root.starts_with("PARTUUID=")))
      refuse("its boot loader starts the kernel with root=" + root + ", which is on none of its disks",
             "Check that every disk of the machine is listed, in order.");
  } else if (device.name.kind != NameKind::kOther) {
    repair.root.warn("The boot loader starts the kernel with root=" + root +
                     ", a name that depends on how the disk is attached.");
  }
}

void check_fstab(Repair& repair) {
  Table table = Table::parse(repair.root.read("/etc/fstab").value_or(""));
  for (const TableLine& line : table.lines) {
    if (line.fields.size() < 3 || line.has_option(kFstabOptions, "noauto") ||
        line.has_option(kFstabOptions, "nofail"))
      continue;
    const std::string& name = line.field(kFstabDevice);
    ResolvedDevice device = resolve_device(name, line.field(kFstabType), repair.storage);
    bool tag = name.starts_with("UUID=") || name.starts_with("LABEL=") || name.starts_with("PARTUUID=") ||
               name.starts_with("/dev/disk/by-uuid/");
    if (tag && device.volume == nullptr)
      repair.root.warn("/etc/fstab: " + name + " (" + line.field(kFstabMountPoint) +
                       ") is on none of the machine's disks; the guest may wait for it when it starts.");
  }
}

}  // namespace

void check_bootable(Repair& repair) {
  check_kernels(repair);
  check_loader(repair);
  check_fstab(repair);
}

}  // namespace hyper2kvm::guest
