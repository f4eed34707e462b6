// Sparse extents of a VMDK (monolithicSparse, twoGbMaxExtentSparse): directory, tables of grains.
#include <algorithm>

#include "runner/image/block_map.h"
#include "runner/image/byte_order.h"
#include "runner/image/grain_stream.h"
#include "runner/image/vmdk_header.h"

namespace hyper2kvm::image {
namespace {

class VmdkMap : public BlockMap {
 public:
  VmdkMap(LocatedFile file, const SparseHeader& header)
      : BlockMap(std::move(file), header.capacity * kSectorSize), header_(header) {
    const std::uint64_t span = header.grain_size * header.table_entries * kSectorSize;
    std::uint64_t tables = 0;
    for (std::uint64_t i = 0; i < divide_up(virtual_size_, span); ++i)
      if (directory_entry(i) != 0) ++tables;
    check_tables(tables, header.table_entries * 4);
  }

  Mapping at(std::uint64_t offset) override {
    const std::uint64_t grain_size = header_.grain_size * kSectorSize;
    const std::uint64_t table_span = grain_size * header_.table_entries;
    const std::uint64_t table = directory_entry(offset / table_span) * kSectorSize;
    const std::uint64_t table_end = std::min((offset / table_span + 1) * table_span, virtual_size_);
    if (table == 0) return {Mapping::Kind::kHole, table_end - offset, 0, 0};
    check_inside(table, header_.table_entries * 4, offset);
    auto grain_at = [&](std::uint64_t guest) {
      std::uint64_t sector = little<std::uint32_t>(table + guest % table_span / grain_size * 4);
      return sector == 1 && header_.has_zero_grains ? std::uint64_t{0} : sector * kSectorSize;
    };
    const std::uint64_t first = grain_at(offset);
    std::uint64_t end = std::min((offset / grain_size + 1) * grain_size, table_end);
    Mapping mapping;
    mapping.kind = first == 0 ? Mapping::Kind::kHole : Mapping::Kind::kData;
    mapping.file_offset = first == 0 ? 0 : first + offset % grain_size;
    while (end < table_end) {
      const std::uint64_t next = grain_at(end);
      if (first == 0 ? next != 0 : next != mapping.file_offset + (end - offset)) break;
      end = std::min(end + grain_size, table_end);
    }
    mapping.length = end - offset;
    if (first != 0) check_inside(mapping.file_offset, mapping.length, offset);
    return mapping;
  }

 private:
  std::uint64_t directory_entry(std::uint64_t table) {
    return little<std::uint32_t>(header_.directory_offset * kSectorSize + table * 4);
  }
  const SparseHeader header_;
};

}  // namespace

std::unique_ptr<BlockMap> open_vmdk_map(const ImageLocation& location) {
  LocatedFile file(location);
  const SparseHeader header = read_stream_layout(file).header;
  return std::make_unique<VmdkMap>(std::move(file), header);
}

}  // namespace hyper2kvm::image
