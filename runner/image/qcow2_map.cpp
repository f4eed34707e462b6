// A qcow2 image without other files: L1, L2, plain, zero and compressed clusters.
// Source: docs/interop/qcow2.txt of QEMU 7.2, "Cluster mapping".
#include <algorithm>
#include <optional>

#include "runner/image/block_map.h"
#include "runner/image/qcow2_format.h"
#include "runner/image/qcow2_header.h"
#include "runner/image/refusal.h"

namespace hyper2kvm::image {
namespace {

class Qcow2Map : public BlockMap {
 public:
  // data_length: of the file that holds the clusters.
  Qcow2Map(LocatedFile file, const Qcow2Header& header, std::uint64_t data_length)
      : BlockMap(std::move(file), header.virtual_size),
        header_(header),
        data_length_(data_length),
        entry_size_(header.extended_l2 ? 16 : 8) {
    cluster_size_ = std::uint64_t{1} << header.cluster_bits;
    compression_ = header.zstd ? ClusterCompression::kZstd : ClusterCompression::kDeflate;
    std::uint64_t tables = 0;
    for (std::uint64_t i = 0; i < header.l1_size; ++i)
      if ((big<std::uint64_t>(header.l1_offset + i * 8) & qcow2::kOffsetMask) != 0) ++tables;
    check_tables(tables, cluster_size_);
  }

  Mapping at(std::uint64_t offset) override {
    const std::uint64_t table_span = cluster_size_ * (cluster_size_ / entry_size_);
    const std::uint64_t table_end = std::min((offset / table_span + 1) * table_span, virtual_size_);
    const std::uint64_t table =
        big<std::uint64_t>(header_.l1_offset + offset / table_span * 8) & qcow2::kOffsetMask;
    if (table == 0) return {Mapping::Kind::kHole, table_end - offset, 0, 0};
    if (table % cluster_size_ != 0) refuse_entry(offset);
    check_inside(table, 1, offset);
    auto entry_at = [&](std::uint64_t guest) {
      return big<std::uint64_t>(table + guest % table_span / cluster_size_ * entry_size_);
    };
    const std::uint64_t entry = entry_at(offset);
    if ((entry & qcow2::kCompressed) != 0) return compressed(entry, offset);
    const std::uint64_t host = host_of(entry, offset);
    Mapping mapping;
    mapping.kind = host == 0 ? Mapping::Kind::kHole : Mapping::Kind::kData;
    mapping.file_offset = host == 0 ? 0 : host + offset % cluster_size_;
    std::uint64_t end = std::min((offset / cluster_size_ + 1) * cluster_size_, table_end);
    while (end < table_end) {
      const std::uint64_t next_entry = entry_at(end);
      if ((next_entry & qcow2::kCompressed) != 0) break;
      const std::uint64_t next = host_of(next_entry, end);
      if (host == 0 ? next != 0 : next != mapping.file_offset + (end - offset)) break;
      end = std::min(end + cluster_size_, table_end);
    }
    mapping.length = end - offset;
    // The last cluster of the file may be there only in part: the reader takes the rest for zeroes, as QEMU.
    // All others are whole, so the run's last one begins before the file ends.
    if (host != 0) {
      check_data(mapping.file_offset, offset);
      const std::uint64_t last = (end - 1) / cluster_size_ * cluster_size_;
      if (last > offset) check_data(mapping.file_offset + (last - offset), last);
    }
    return mapping;
  }

 private:
  // A cluster begins inside the file that holds it.
  void check_data(std::uint64_t data_offset, std::uint64_t offset) const {
    if (data_offset >= data_length_) refuse_outside(offset);
  }

  [[noreturn]] void refuse_entry(std::uint64_t offset) const {
    refuse(file_.name(),
           "has a table entry for byte " + std::to_string(offset) + " of its disk that cannot be");
  }

  // 0 where the cluster reads as zeroes.
  std::uint64_t host_of(std::uint64_t entry, std::uint64_t offset) const {
    // With extended entries the bit is in their second half, for each part of a cluster.
    if (header_.version >= 3 && !header_.extended_l2 && (entry & qcow2::kZero) != 0) return 0;
    const std::uint64_t host = entry & qcow2::kOffsetMask;
    if (host % cluster_size_ != 0) refuse_entry(offset);
    return host;
  }

  Mapping compressed(std::uint64_t entry, std::uint64_t offset) const {
    const unsigned shift = 62 - (header_.cluster_bits - 8);
    Mapping mapping;
    mapping.kind = Mapping::Kind::kCompressed;
    mapping.file_offset = entry & ((std::uint64_t{1} << shift) - 1);
    const std::uint64_t sectors = ((entry & ~qcow2::kCopied & ~qcow2::kCompressed) >> shift) + 1;
    mapping.stored_size = sectors * 512 - mapping.file_offset % 512;
    mapping.length = std::min(cluster_size_ - offset % cluster_size_, virtual_size_ - offset);
    // The last sector of the file may be there only in part.
    check_inside(mapping.file_offset, 1, offset);
    mapping.stored_size = std::min(mapping.stored_size, file_.length() - mapping.file_offset);
    return mapping;
  }

  const Qcow2Header header_;
  const std::uint64_t data_length_;
  const std::uint64_t entry_size_;  // bytes of an L2 entry
};

std::unique_ptr<BlockMap> open_map(const ImageLocation& location, std::optional<std::uint64_t> data_length) {
  LocatedFile file(location);
  const Qcow2Header header = read_qcow2_header(file);
  const std::uint64_t length = data_length.value_or(file.length());
  return std::make_unique<Qcow2Map>(std::move(file), header, length);
}

}  // namespace

std::unique_ptr<BlockMap> open_qcow2_map(const ImageLocation& location) {
  return open_map(location, std::nullopt);
}

void check_qcow2_clusters(const ImageLocation& location, std::optional<std::uint64_t> data_length,
                          const os::StopToken& stop) {
  const std::unique_ptr<BlockMap> map = open_map(location, data_length);
  for (std::uint64_t offset = 0; offset < map->virtual_size(); offset += map->at(offset).length)
    stop.throw_if_stopped();
}

}  // namespace hyper2kvm::image
