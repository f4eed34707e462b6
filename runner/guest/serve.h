// The whole of one request: find the guest on these disks, open it, repair it, close it.
//
// Called by the agent, once, inside the appliance, as its first process and with all rights there. The agent
// has mounted /proc, /sys, /dev, and a tmpfs on /run, /tmp and /mnt; its root is read-only. What is mounted
// and activated here is closed again before the return, also on an error, so that the disks are clean.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runner/guest/protocol.h"

namespace hyper2kvm::guest {

// disk_devices: /dev/vda ..., in the manifest's order ("disk0", "disk1" ... in the answer); partitions are
// found beside them as the kernel names them (/dev/vda1). In Mode::kInspect they may be read-only.
// progress: one short line for a person, sent at once.
// load_module: loads a driver and what it depends on ("vfat", "dm-mod", "raid1", "fuse"); nothing happens
// where it is loaded or built in. Throws os::Error where the appliance has no such module. What the kernel
// asks for by itself (a file system of mount(2), its character sets, ciphers) need not be asked for here;
// "raid6_pq" must be, before anything of RAID 6 (md or btrfs) is opened: the appliance then starts once more
// with a kernel that measured its parity functions, and this call does not return.
// Errors of the guest are in the answer (success = false and a sentence); throws nothing.
Answer serve(const Request& request, const std::vector<std::string>& disk_devices,
             const std::function<void(const std::string&)>& progress,
             const std::function<void(const std::string&)>& load_module);

}  // namespace hyper2kvm::guest
