// The machine that the agent is the first process of: its file systems, its disks, its end.
//
// All functions throw os::Error.
#pragma once

#include <string>
#include <vector>

namespace hyper2kvm::appliance::agent {

// /proc, /sys, /dev, and a tmpfs each on /run and /tmp; an environment for programs.
void set_up_machine();

// The device of each disk in the manifest's order. sysfs_paths: the whole path of each block device below
// /sys/devices, as .../virtio-uml.1/virtio1/block/vda; their number there is the disk's.
std::vector<std::string> order_disks(const std::vector<std::string>& sysfs_paths);
// Loads the driver and waits for nothing: the disks are there when this returns.
std::vector<std::string> find_disks();

// Flushes and switches the machine off.
[[noreturn]] void power_off();

}  // namespace hyper2kvm::appliance::agent
