#include "runner/image/zeroes.h"

#include <cstring>

namespace hyper2kvm::image {

bool is_zero(std::span<const std::byte> bytes) {
  // Most data differ at once; memcmp with itself, shifted, is the fastest portable rest.
  if (bytes.empty()) return true;
  if (bytes[0] != std::byte{0} || bytes.back() != std::byte{0}) return false;
  return std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

}  // namespace hyper2kvm::image
