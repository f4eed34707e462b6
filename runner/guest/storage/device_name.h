// The names that configuration files give to disks and partitions, and what they mean on this guest's
// storage.
//
// A name is stable when it says what is on the device (UUID, LABEL, PARTUUID, an LVM name) and unstable when
// it says how the device was attached (sda1, by-path, a hypervisor's serial number in by-id): attachments
// change with the hypervisor.
#pragma once

#include <string>
#include <string_view>

#include "runner/guest/storage/storage.h"

namespace hyper2kvm::guest {

enum class NameKind {
  kOther,   // no device of the guest's disks: tmpfs, //server/share, /dev/sr0
  kStable,  // UUID=, LABEL=, PARTUUID=, PARTLABEL=, /dev/disk/by-uuid/..., LVM, md, LUKS mappings
  kKernel,  // sda1, hda1, vda1, xvda1, nvme0n1p1, mmcblk0p1, cciss/c0d0p1
  kByPath,  // /dev/disk/by-path/...
  kById,    // /dev/disk/by-id/...
};

struct DeviceName {
  NameKind kind = NameKind::kOther;
  int disk = -1;      // by the order of the name; -1 where it does not say
  int partition = 0;  // 0 is the whole disk
};

DeviceName parse_device_name(std::string_view name);

struct ResolvedDevice {
  DeviceName name;
  const Volume* volume = nullptr;  // nullptr: nothing there answers to the name, or more than one thing
};

// filesystem_type is what the configuration says is there ("" or "auto": nothing): a kernel name whose disk
// holds something else is looked for on the other disks, and taken where exactly one fits.
ResolvedDevice resolve_device(std::string_view name, std::string_view filesystem_type,
                              const Storage& storage);

// The best stable name of a volume: UUID=, else PARTUUID=, else LABEL=; "" where it has none.
std::string stable_name(const Volume& volume);
// The same as a path for what takes only paths: /dev/disk/by-uuid/...
std::string stable_path(const Volume& volume);

}  // namespace hyper2kvm::guest
