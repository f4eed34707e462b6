// The header of a VDI. Parsing only. Source: VirtualBox's VDICore.h, as QEMU's block/vdi.c documents it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace hyper2kvm::image {

constexpr std::size_t kVdiHeaderSize = 512;

struct VdiHeader {
  std::uint64_t virtual_size = 0;  // bytes
  std::uint64_t map_offset = 0;
  std::uint64_t data_offset = 0;
};

bool has_vdi_magic(std::span<const std::byte> bytes);
// bytes: kVdiHeaderSize of them; length: of the file. Throws os::Error (kInvalid) for what is damaged and for
// a disk that is the difference to another.
VdiHeader parse_vdi_header(std::span<const std::byte> bytes, std::uint64_t length, const std::string& name);

}  // namespace hyper2kvm::image
