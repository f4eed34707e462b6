// What is inside an initramfs image: a row of cpio archives, each plain or compressed, unpacked one over the
// other. Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "runner/guest/guest_root.h"
#include "runner/guest/initramfs/compression.h"

namespace hyper2kvm::guest {

struct InitramfsEntry {
  std::uint32_t mode = 0;
  std::uint64_t size = 0;
  std::string content;  // of links, and of the files that a repair reads (configuration, module indexes)
};

struct Initramfs {
  // After all archives, by path without a leading slash.
  std::map<std::string, InitramfsEntry> entries;
  // Of each archive, in order; the kernel's microcode comes first, in a plain one.
  std::vector<Compression> segments;
  std::uint64_t size = 0;

  // Follows links inside the image; "" where a link leads to nothing or in a circle.
  std::string resolve(std::string_view path) const;
  bool has(std::string_view path) const;
  // nullptr where there is no such file or its content was not kept.
  const std::string* text(std::string_view path) const;
  // Where modules of a kernel are ("usr/lib/modules/6.1.0"), links resolved: there, or would be.
  std::string module_directory(std::string_view kernel_version) const;
  // Names (as module_name gives them) to paths below module_directory.
  std::map<std::string, std::string> modules(std::string_view kernel_version) const;
  std::set<std::string> directories() const;
  bool has_file_named(std::string_view name) const;
};

// Walks the whole image in pieces. At most 200,000 entries and 4 GiB unpacked. Throws os::Error where the
// image is damaged or packed in a way that is not known.
Initramfs read_initramfs(const GuestFile& file);

// "virtio_blk" of "kernel/drivers/block/virtio-blk.ko.xz"; "" for what is no module.
std::string module_name(std::string_view path);

}  // namespace hyper2kvm::guest
