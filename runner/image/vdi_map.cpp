// A VDI: a table of blocks of 1 MiB.
#include <algorithm>

#include "runner/image/block_map.h"
#include "runner/image/vdi_format.h"
#include "runner/image/vdi_header.h"

namespace hyper2kvm::image {
namespace {

class VdiMap : public BlockMap {
 public:
  VdiMap(LocatedFile file, const VdiHeader& header)
      : BlockMap(std::move(file), header.virtual_size), header_(header) {}

  Mapping at(std::uint64_t offset) override {
    const std::uint64_t in_block = offset % vdi::kBlockSize;
    Mapping mapping;
    mapping.length = std::min(vdi::kBlockSize - in_block, virtual_size_ - offset);
    const std::uint32_t block = little<std::uint32_t>(header_.map_offset + offset / vdi::kBlockSize * 4);
    if (block == vdi::kUnallocated || block == vdi::kDiscarded) return mapping;
    mapping.kind = Mapping::Kind::kData;
    mapping.file_offset = header_.data_offset + block * vdi::kBlockSize + in_block;
    check_inside(mapping.file_offset, mapping.length, offset);
    return mapping;
  }

 private:
  const VdiHeader header_;
};

}  // namespace

std::unique_ptr<BlockMap> open_vdi_map(const ImageLocation& location) {
  LocatedFile file(location);
  const VdiHeader header = read_vdi_header(file);
  return std::make_unique<VdiMap>(std::move(file), header);
}

}  // namespace hyper2kvm::image
