// The overlay that the repair has written: a qcow2 file of our own making, filled by qemu-storage-daemon.
//
// It was written by a process that served a guest's kernel, so it is read as carefully as any other image.
#pragma once

#include <cstdint>
#include <filesystem>

#include "runner/image/qcow2_header.h"
#include "runner/image/rate_limiter.h"
#include "runner/image/target.h"
#include "runner/os/file.h"
#include "runner/os/stop.h"

namespace hyper2kvm::image {

class OverlayReader {
 public:
  // Throws os::Error for anything but a plain qcow2 version 3 with clusters of 64 KiB.
  explicit OverlayReader(const std::filesystem::path& path);
  std::uint64_t virtual_size() const { return header_.virtual_size; }
  // Writes its clusters over the target's, in disk order. Returns the bytes of the disk that changed.
  // limiter: may be null.
  std::uint64_t apply_to(Target& target, const os::StopToken& stop, RateLimiter* limiter = nullptr) const;

 private:
  os::File file_;
  Qcow2Header header_;
};

}  // namespace hyper2kvm::image
