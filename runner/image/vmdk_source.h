// Opening a VMDK: which of its kinds it is and which files belong to it.
#pragma once

#include <string>

#include "runner/image/source.h"

namespace hyper2kvm::image {

// Throws os::Error (kInvalid).
SourceImage open_vmdk(const ImageLocation& location, const std::string& name_prefix);

}  // namespace hyper2kvm::image
