// OVA and OVF: a machine as vSphere, VirtualBox and others export it, read in place and turned into a
// manifest. Source: DMTF DSP0243 (OVF), POSIX ustar/pax (OVA).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runner/contract/manifest.h"
#include "runner/image/source.h"

namespace hyper2kvm::image {

struct Package {
  // CPU, memory, firmware, disks in order (ids "disk-0"...), NICs with their MACs; checksums from the .mf.
  // All four stages on, output qcow2.
  contract::Manifest manifest;
  std::vector<ImageLocation> locations;  // one a disk
  std::vector<std::string> warnings;
};

// Nothing is extracted. Refuses links, devices, absolute and upward names, duplicates, a truncated archive,
// and a disk that the OVF names and the archive lacks. Throws os::Error (kInvalid).
Package open_ova(const std::filesystem::path& path);
// Disks are looked for beside the OVF only.
Package open_ovf(const std::filesystem::path& path);
// A machine that is only disks, the first boots; formats by their magic, and a block device is always a raw
// disk. name becomes vm_name.
Package open_disks(const std::vector<std::filesystem::path>& paths, const std::string& name);

}  // namespace hyper2kvm::image
