// Disks that boot in a second and say so on the serial line, made from a few bytes of machine code.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace hyper2kvm::integration {

// A raw disk of this size with a boot sector (BIOS) that repeats the text on the first serial port for ever.
void make_bios_disk(const std::filesystem::path& path, const std::string& text, std::uint64_t size = 1 << 20);

// A qcow2 disk of 504 MiB with a FAT partition whose \EFI\BOOT\BOOTX64.EFI repeats the text on the firmware's
// console for ever. The program is not signed.
void make_uefi_disk(const std::filesystem::path& path, const std::string& text);

}  // namespace hyper2kvm::integration
