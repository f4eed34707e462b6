// The guest's storage as the appliance sees it: disks in the manifest's order, their partitions, and what is
// built on them. Each Volume is something that may hold a file system, with the name that a person knows it
// by and the device that the kernel knows it by.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runner/guest/protocol.h"
#include "runner/guest/storage/signature.h"

namespace hyper2kvm::guest {

struct Volume {
  std::string name;            // "disk0p1", "disk0", "vg/lv", "md0", "luks-UUID"
  std::filesystem::path node;  // what to mount: /dev/vda1, /dev/mapper/...; empty: not activated
  int disk = -1;               // index of the disk; -1 for what spans disks
  int partition = 0;           // number in the table; 0 for a whole disk
  std::uint64_t offset = 0;    // bytes, on its disk
  std::uint64_t size = 0;      // bytes
  std::string type, label, uuid, part_uuid, part_type;
  std::string encrypted_uuid;  // of the LUKS header that this is the inside of
  std::string array_uuid;      // of the RAID array that this is
  std::vector<std::string>
      aliases;  // paths that the guest's configuration has for it: /dev/mapper/sda3_crypt
};

struct Storage {
  std::vector<Volume> volumes;
  std::vector<std::string> table_types;  // of each disk: dos, gpt, "" none

  const Volume* find(std::string_view name) const;
  const Volume* find_partition(int disk, int partition) const;
  // By UUID, LABEL, PARTUUID or PARTLABEL as fstab writes them ("UUID=..."), where exactly one volume has it.
  const Volume* find_tag(std::string_view tag) const;
};

// Reads the tables and signatures of the disks; opens them read-only. Throws os::Error.
Storage read_storage(const std::vector<std::string>& disk_devices);

Partition to_partition(const Volume& volume);

}  // namespace hyper2kvm::guest
