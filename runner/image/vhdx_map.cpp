// A VHDX: a table of blocks, with an entry for a bitmap after each group of them (which only differencing
// disks use). Source: [MS-VHDX], section 2.5.
#include <algorithm>

#include "runner/image/block_map.h"
#include "runner/image/byte_order.h"
#include "runner/image/refusal.h"
#include "runner/image/vhdx_header.h"

namespace hyper2kvm::image {
namespace {

enum State : std::uint64_t {
  kNotPresent = 0,
  kUndefined = 1,
  kZero = 2,
  kUnmapped = 3,
  kUnmappedOld = 5,
  kPresent = 6
};

class VhdxMap : public BlockMap {
 public:
  VhdxMap(LocatedFile file, const VhdxHeader& header)
      : BlockMap(std::move(file), header.virtual_size),
        header_(header),
        blocks_in_group_((std::uint64_t{1} << 23) * header.sector_size / header.block_size) {}

  Mapping at(std::uint64_t offset) override {
    const std::uint64_t block = offset / header_.block_size;
    const std::uint64_t in_block = offset % header_.block_size;
    const std::uint64_t entry =
        little<std::uint64_t>(header_.table_offset + (block + block / blocks_in_group_) * 8);
    Mapping mapping;
    mapping.length = std::min(header_.block_size - in_block, virtual_size_ - offset);
    switch (entry & 7) {
      case kNotPresent:
      case kUndefined:
      case kZero:
      case kUnmapped:
      case kUnmappedOld:
        return mapping;
      case kPresent:
        break;
      default:
        refuse(file_.name(),
               "has a block in a state that a whole disk cannot have (" + std::to_string(entry & 7) + ")");
    }
    mapping.kind = Mapping::Kind::kData;
    mapping.file_offset = (entry >> 20 << 20) + in_block;
    check_inside(mapping.file_offset, mapping.length, offset);
    return mapping;
  }

 private:
  const VhdxHeader header_;
  const std::uint64_t blocks_in_group_;
};

}  // namespace

std::unique_ptr<BlockMap> open_vhdx_map(const ImageLocation& location) {
  LocatedFile file(location);
  const VhdxHeader header = read_vhdx_header(file);
  return std::make_unique<VhdxMap>(std::move(file), header);
}

}  // namespace hyper2kvm::image
