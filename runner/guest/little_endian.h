// Numbers that are stored with their lowest byte first, at any alignment.
#pragma once

#include <endian.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace hyper2kvm::guest {

// at + 4 must lie inside bytes.
inline std::uint32_t load_little(std::span<const std::byte> bytes, std::size_t at) {
  std::uint32_t stored;
  std::memcpy(&stored, bytes.data() + at, sizeof stored);
  return le32toh(stored);
}

}  // namespace hyper2kvm::guest
