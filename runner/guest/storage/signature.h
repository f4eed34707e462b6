// What lies on a disk or a part of it: partition tables and the signatures of file systems, volumes and swap.
// libblkid reads both; nothing is mounted and nothing of the host or the appliance is asked. Throws
// os::Error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hyper2kvm::guest {

struct Signature {
  std::string type;  // ext4, xfs, swap, swsuspend, LVM2_member, linux_raid_member, crypto_LUKS, vfat, ntfs...
  std::string label, uuid;
};

struct TableEntry {
  int number = 0;            // 1-based; logical partitions of an MBR begin at 5
  std::uint64_t offset = 0;  // bytes
  std::uint64_t size = 0;    // bytes
  std::string uuid;          // PARTUUID
  std::string type;          // "0x83" or a GUID in lower case
  std::string name;          // GPT only
};

struct PartitionTable {
  std::string type;  // dos, gpt, ...; "" none
  std::vector<TableEntry> entries;
};

// fd is an open disk or image file, read only. At most 256 entries; extended partitions are left out.
PartitionTable read_partition_table(int fd, const std::string& name);
// nullopt where nothing is recognised, or where several signatures contradict each other.
std::optional<Signature> read_signature(int fd, std::uint64_t offset, std::uint64_t size,
                                        const std::string& name);

}  // namespace hyper2kvm::guest
