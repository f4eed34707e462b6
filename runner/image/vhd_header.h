// The footer of a VHD. Parsing only. Source: Microsoft, "Virtual Hard Disk Image Format Specification" 1.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace hyper2kvm::image {

constexpr std::size_t kVhdFooterSize = 512;

struct VhdFooter {
  enum class Type { kFixed, kDynamic };
  Type type = Type::kFixed;
  std::uint64_t virtual_size = 0;   // bytes, as qemu and Hyper-V read it
  std::uint64_t header_offset = 0;  // of the dynamic header
};

bool has_vhd_magic(std::span<const std::byte> bytes);
// bytes: kVhdFooterSize of them. Throws os::Error (kInvalid) for a wrong checksum, a differencing disk, and
// for a size that its geometry contradicts.
VhdFooter parse_vhd_footer(std::span<const std::byte> bytes, const std::string& name);

}  // namespace hyper2kvm::image
