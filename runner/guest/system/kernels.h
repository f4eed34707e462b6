// The kernels that the guest can boot: images, their module directories and their initramfs, matched with
// each other and with the boot loader's menu. Throws os::Error.
#pragma once

#include <string>
#include <vector>

#include "runner/guest/boot/boot_menu.h"
#include "runner/guest/guest_root.h"

namespace hyper2kvm::guest {

struct InstalledKernel {
  std::string version;                 // of its module directory; "" where it is not known
  std::string image;                   // path in the guest
  std::vector<std::string> initramfs;  // paths in the guest; several are unpacked in their order
  std::vector<std::string> unusable;   // images that its entry names and that are no files
  bool is_default = false;
  bool in_menu = false;
  std::string options;  // the command line of its (default) entry
};

// Those of the menu in its order, then those of /boot that no entry names.
std::vector<InstalledKernel> find_kernels(GuestRoot& root, const BootMenu& menu);

// The version that a kernel image says it has (x86 boot protocol, Documentation/arch/x86/boot.rst:
// kernel_version);
// "" where it does not say.
std::string image_version(const GuestRoot& root, const std::string& path);

}  // namespace hyper2kvm::guest
