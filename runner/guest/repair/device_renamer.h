// Names of devices in command lines of the kernel and in settings that become such: what depends on the
// hypervisor becomes what is on the device.
//
// A guest waits for a device to resume from before it mounts its root, half a minute at the least, and starts
// without it then. Where no disk of the machine answers to the name of that device, nothing will ever: so the
// parameter becomes `noresume`, and a setting RESUME= of initramfs-tools becomes `none`. Nothing is lost by
// it, because a hibernated guest is not repaired in the first place.
#pragma once

#include <string>
#include <string_view>

#include "runner/guest/boot/boot_menu.h"
#include "runner/guest/repair/repair.h"

namespace hyper2kvm::guest {

// For rename_devices; repair must outlive it. file is for warnings. Without an initramfs there is nobody who
// could look for a UUID: the kernel itself knows partitions only.
RenameDevice device_renamer(Repair& repair, const std::string& file, bool has_initramfs);

// The text with each line RESUME=/dev/... of initramfs-tools renamed (initramfs.conf(5)).
std::string rename_resume_setting(std::string_view text, const Storage& storage);

}  // namespace hyper2kvm::guest
