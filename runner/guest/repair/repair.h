// The steps of a repair. Each looks at the guest's root, and changes what keeps the guest from running on
// virtio hardware as it ran before. Nothing reaches the disk until the whole repair is committed.
//
// A step that the request turns off does nothing. Steps throw os::Error where the guest could not boot in the
// end, and warn (GuestRoot::warn) about what an admin should look at. They work on any directory with any
// Storage, so that each is tested without an appliance.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "runner/guest/boot/boot_menu.h"
#include "runner/guest/guest_root.h"
#include "runner/guest/protocol.h"
#include "runner/guest/storage/storage.h"
#include "runner/guest/system/kernels.h"

namespace hyper2kvm::guest {

struct Repair {
  GuestRoot& root;
  const Storage& storage;
  const Request& request;
  Inspection& inspection;
  std::string root_volume;                     // name of the volume that holds the root
  BootMenu menu;                               // as found
  std::vector<InstalledKernel> kernels;        // as found
  std::vector<Kernel> repaired_kernels;        // as they are after the repair; Inspection has them as found
  std::map<std::string, std::string> printed;  // Answer::printed
  std::map<std::string, std::string> image_files;  // files of the guest that every initramfs should hold too
  std::vector<contract::BootFact> boot_facts;      // Answer::boot_facts
};

// All of them, in their order, and then the check that the guest can boot.
void run_repair(Repair& repair);

// fstab and crypttab: names that say how a disk was attached become names that say what is on it.
void repair_fstab(Repair& repair);
// The loader's configuration: root=, resume=, device maps, and a default entry that drives virtio.
void repair_boot_loader(Repair& repair);
// The firmware of a new machine remembers no boot entries: on UEFI the loader must also be where it looks by
// itself.
void repair_firmware_path(Repair& repair);
// Where the default kernel cannot drive virtio and another one of the menu can, that one becomes the default.
void repair_default_kernel(Repair& repair);
// Interfaces keep their names: each is pinned to its MAC address; stale rules go.
void repair_network(Repair& repair);
// Tools and drivers of other hypervisors no longer start.
void repair_hypervisor_tools(Repair& repair);
// Which of them are there: Inspection::hypervisor_tools.
void find_hypervisor_tools(const GuestRoot& root, Inspection& inspection);
// The QEMU guest agent starts, where it is installed.
void repair_guest_agent(Repair& repair);
// Every kernel that can boot has the virtio drivers at hand, now and after its initramfs is made again.
void repair_initramfs(Repair& repair);
// What the manifest's `configuration` asks for.
void apply_configuration(Repair& repair);
// Gathers the boot facts and throws where the repaired guest could not boot: its default kernel, that
// kernel's drivers and the loader's root; what fstab and crypttab wait for in vain is a warning.
void check_bootable(Repair& repair);

}  // namespace hyper2kvm::guest
