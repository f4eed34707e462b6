// What the readers of images say of one that cannot be what it says it is.
#pragma once

#include <string>

namespace hyper2kvm::image {

// Throws os::Error (kInvalid). name: of the image; problem goes on after it: "has no VHD footer".
[[noreturn]] void refuse(const std::string& name, const std::string& problem,
                         const std::string& advice = "The image is damaged: export or copy it again.");

}  // namespace hyper2kvm::image
