// The configuration of the guest's initramfs generator, so that the images that it makes later hold the
// virtio drivers even where it packs only what it sees in use.
#pragma once

#include "runner/guest/repair/repair.h"

namespace hyper2kvm::guest {

void configure_generator(Repair& repair);
// Fills Inspection::kernels and initramfs_generator, changing nothing.
void inspect_kernels(Repair& repair);

}  // namespace hyper2kvm::guest
