// Devices of the kernel's device mapper, made by its ioctls (Documentation/admin-guide/device-mapper). Throws
// os::Error.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace hyper2kvm::guest {

// Makes a device from lines "START LENGTH TARGET PARAMETERS" (sectors of 512 bytes) and returns its node,
// /dev/dm-N.
std::filesystem::path create_mapped_device(const std::string& name, const std::vector<std::string>& table,
                                           bool read_only);
// Nothing happens where there is no such device.
void remove_mapped_device(const std::string& name);
// "253:1" of a block device's node.
std::string device_number(const std::filesystem::path& node);

}  // namespace hyper2kvm::guest
