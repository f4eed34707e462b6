// What of a disk need not be stored.
#pragma once

#include <cstddef>
#include <span>

namespace hyper2kvm::image {

// True also for no bytes.
bool is_zero(std::span<const std::byte> bytes);

}  // namespace hyper2kvm::image
