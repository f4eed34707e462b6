// How the compressed clusters of a qcow2 image are packed.
#pragma once

namespace hyper2kvm::image {

enum class ClusterCompression {
  kDeflate,  // every QEMU reads it
  kZstd,     // QEMU 5.1 and later
};

}  // namespace hyper2kvm::image
