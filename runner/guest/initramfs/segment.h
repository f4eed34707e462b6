// One more cpio archive at the end of an initramfs, so that an image that was made for other hardware drives
// virtio.
//
// The kernel unpacks all archives of an image one over the other. The one that is appended holds the modules
// that are missing, unpacked, from the guest's own /lib/modules; indexes over the image's old modules and the
// new ones; and the list of modules to load where this image's generator reads it. The image before it stays
// as it was, byte by byte.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "runner/guest/guest_root.h"
#include "runner/guest/initramfs/initramfs.h"
#include "runner/guest/initramfs/module_tree.h"

namespace hyper2kvm::guest {

// What makes a KVM machine's disks and network reachable.
struct DriverState {
  std::vector<std::string> missing;      // drivers that neither the kernel nor the image has
  std::vector<std::string> unavailable;  // of these, the ones that the guest has no module for
  // virtio_pci and virtio_blk, with what they need, are in the kernel or in the image.
  bool ready = false;
  // ready, or can be made so.
  bool capable = false;
};

// image is nullptr for a kernel that boots without one.
DriverState driver_state(const ModuleTree& tree, const Initramfs* image);

struct Segment {
  std::string bytes;    // to be appended to the image, with the padding before it; "" where nothing is needed
  std::string summary;  // for people
};

// extra_files (path in the image, without a leading slash, to text) go into the segment too.
Segment make_segment(const GuestRoot& root, const Initramfs& image, const ModuleTree& tree,
                     const std::map<std::string, std::string>& extra_files);

}  // namespace hyper2kvm::guest
