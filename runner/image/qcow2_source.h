// Opening a qcow2 image and the chain of backing files under it.
#pragma once

#include <string>

#include "runner/image/source.h"

namespace hyper2kvm::image {

// Throws os::Error (kInvalid).
SourceImage open_qcow2(const ImageLocation& location, const std::string& name_prefix);

}  // namespace hyper2kvm::image
