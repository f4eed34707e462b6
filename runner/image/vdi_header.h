// The header of a VDI. Source: VirtualBox's VDICore.h, as QEMU's block/vdi.c documents it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "runner/image/located_file.h"

namespace hyper2kvm::image {

struct VdiHeader {
  std::uint64_t virtual_size = 0;  // bytes
  std::uint64_t map_offset = 0;
  std::uint64_t data_offset = 0;
};

bool has_vdi_magic(std::span<const std::byte> bytes);
// Throws os::Error (kInvalid) for what is damaged and for a disk that is the difference to another.
VdiHeader read_vdi_header(const LocatedFile& file);

}  // namespace hyper2kvm::image
