// What is done with md RAID arrays without mdadm: each start of it costs the appliance as much as a hundred
// files to read. Putting an array together stays with it, because it weighs members against each other.
//
// Source: the kernel's include/uapi/linux/raid/md_p.h and md_u.h; md(4) for where a superblock is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "runner/guest/storage/lvm_metadata.h"

namespace hyper2kvm::guest {

// The driver for the array that a volume of that size is a member of ("raid1"), from its superblock (0.90,
// 1.0, 1.1 or 1.2). nullopt where it has none that is known, or several that differ.
std::optional<std::string> raid_module(const ReadVolume& read, std::uint64_t size);

// Takes a running array down. Throws os::Error.
void stop_raid_array(const std::string& node);

}  // namespace hyper2kvm::guest
