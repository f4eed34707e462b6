#include "runner/guest/storage/signature.h"

#include <blkid/blkid.h>

#include <algorithm>
#include <memory>

#include "runner/os/error.h"

namespace hyper2kvm::guest {
namespace {

constexpr int kMostEntries = 256;

using Probe = std::unique_ptr<std::remove_pointer_t<blkid_probe>, decltype(&blkid_free_probe)>;

Probe make_probe(int fd, std::uint64_t offset, std::uint64_t size, const std::string& name) {
  Probe probe(blkid_new_probe(), blkid_free_probe);
  if (!probe || blkid_probe_set_device(probe.get(), fd, static_cast<blkid_loff_t>(offset),
                                       static_cast<blkid_loff_t>(size)) != 0)
    throw os::Error(os::ErrorKind::kSystem, name, "cannot be looked at for its partitions and file systems");
  return probe;
}

std::string text(const char* value) { return value == nullptr ? "" : value; }

std::string value_of(blkid_probe probe, const char* key) {
  const char* value = nullptr;
  std::size_t length = 0;
  if (blkid_probe_lookup_value(probe, key, &value, &length) != 0 || value == nullptr) return "";
  return value;  // libblkid ends its values with a zero byte
}

}  // namespace

PartitionTable read_partition_table(int fd, const std::string& name) {
  Probe probe = make_probe(fd, 0, 0, name);
  PartitionTable result;
  // A file system on the whole disk whose boot sector looks like an MBR is no partition table: libblkid knows
  // the difference only when it looks for both.
  blkid_probe_enable_superblocks(probe.get(), 1);
  blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_TYPE);
  blkid_probe_enable_partitions(probe.get(), 1);
  blkid_partlist list = blkid_probe_get_partitions(probe.get());
  if (list == nullptr) return result;
  blkid_parttable table = blkid_partlist_get_table(list);
  if (table == nullptr) return result;
  result.type = text(blkid_parttable_get_type(table));
  int count = std::min(blkid_partlist_numof_partitions(list), kMostEntries);
  for (int index = 0; index < count; ++index) {
    blkid_partition partition = blkid_partlist_get_partition(list, index);
    if (partition == nullptr || blkid_partition_is_extended(partition)) continue;
    TableEntry entry;
    entry.number = blkid_partition_get_partno(partition);
    entry.offset = static_cast<std::uint64_t>(blkid_partition_get_start(partition)) * 512;
    entry.size = static_cast<std::uint64_t>(blkid_partition_get_size(partition)) * 512;
    entry.uuid = text(blkid_partition_get_uuid(partition));
    entry.name = text(blkid_partition_get_name(partition));
    entry.type = text(blkid_partition_get_type_string(partition));
    if (entry.type.empty()) {
      char number[16];
      std::snprintf(number, sizeof number, "0x%x",
                    static_cast<unsigned>(blkid_partition_get_type(partition)));
      entry.type = number;
    }
    result.entries.push_back(std::move(entry));
  }
  return result;
}

std::optional<Signature> read_signature(int fd, std::uint64_t offset, std::uint64_t size,
                                        const std::string& name) {
  if (size == 0) return std::nullopt;
  Probe probe = make_probe(fd, offset, size, name);
  blkid_probe_enable_superblocks(probe.get(), 1);
  blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_TYPE | BLKID_SUBLKS_UUID | BLKID_SUBLKS_LABEL);
  if (blkid_do_safeprobe(probe.get()) != 0) return std::nullopt;
  Signature signature{value_of(probe.get(), "TYPE"), value_of(probe.get(), "LABEL"),
                      value_of(probe.get(), "UUID")};
  if (signature.type.empty()) return std::nullopt;
  return signature;
}

}  // namespace hyper2kvm::guest
