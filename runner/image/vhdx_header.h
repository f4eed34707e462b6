// The headers of a VHDX. Source: Microsoft, [MS-VHDX] "Virtual Hard Disk v2 File Format".
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "runner/image/located_file.h"

namespace hyper2kvm::image {

struct VhdxHeader {
  std::uint64_t virtual_size = 0;  // bytes
  std::uint64_t block_size = 0;    // bytes
  std::uint64_t sector_size = 0;   // bytes, as the guest sees it
  std::uint64_t table_offset = 0;  // of the block allocation table; its entries are all inside the file
};

bool has_vhdx_magic(std::span<const std::byte> bytes);
// read is asked for parts of the file of the given length only, and never for more than 64 KiB. Throws
// os::Error (kInvalid) for what is damaged, a differencing disk, and a log that was not replayed.
VhdxHeader read_vhdx_header(const std::function<void(std::uint64_t, std::span<std::byte>)>& read,
                            std::uint64_t length, const std::string& name);
// The same of a file.
VhdxHeader read_vhdx_header(const LocatedFile& file);

}  // namespace hyper2kvm::image
