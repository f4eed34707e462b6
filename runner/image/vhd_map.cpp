// A dynamic VHD: a table of blocks, each behind a bitmap of its sectors.
//
// The bitmap is not looked at: QEMU does not either, and sectors that it leaves out are zeroes on the disk.
// What the repair sees through QEMU and what the copy holds must be the same disk.
// Source: Microsoft, "Virtual Hard Disk Image Format Specification" 1.0.
#include <algorithm>
#include <cstring>

#include "runner/image/block_map.h"
#include "runner/image/byte_order.h"
#include "runner/image/refusal.h"
#include "runner/image/vhd_header.h"

namespace hyper2kvm::image {
namespace {

constexpr std::uint64_t kSectorBytes = 512;
constexpr std::uint32_t kUnallocated = 0xffffffff;

class VhdMap : public BlockMap {
 public:
  VhdMap(LocatedFile file, const VhdFooter& footer) : BlockMap(std::move(file), footer.virtual_size) {
    std::vector<std::byte> header(1024);
    if (footer.header_offset > file_.length() || header.size() > file_.length() - footer.header_offset)
      refuse(file_.name(), "has its second header past the end of the file");
    file_.read_exactly_at(footer.header_offset, header);
    if (std::memcmp(header.data(), "cxsparse", 8) != 0) refuse(file_.name(), "has no second header");
    table_ = load_big<std::uint64_t>(header, 16);
    const std::uint64_t entries = load_big<std::uint32_t>(header, 28);
    block_size_ = load_big<std::uint32_t>(header, 32);
    if (block_size_ < 4096 || block_size_ > (256u << 20) || (block_size_ & (block_size_ - 1)) != 0)
      refuse(file_.name(), "has blocks of " + std::to_string(block_size_) + " bytes, and 2 MiB are usual");
    if (divide_up(virtual_size_, block_size_) > entries)
      refuse(file_.name(), "has a block table that is too small for its disk");
    if (table_ % kSectorBytes != 0 || table_ > file_.length() || entries * 4 > file_.length() - table_)
      refuse(file_.name(), "has its block table past the end of the file");
    bitmap_size_ =
        round_up<std::uint64_t>(divide_up<std::uint64_t>(block_size_ / kSectorBytes, 8), kSectorBytes);
  }

  Mapping at(std::uint64_t offset) override {
    const std::uint64_t in_block = offset % block_size_;
    Mapping mapping;
    mapping.length = std::min(block_size_ - in_block, virtual_size_ - offset);
    const std::uint32_t sector = big<std::uint32_t>(table_ + offset / block_size_ * 4);
    if (sector == kUnallocated) return mapping;
    mapping.kind = Mapping::Kind::kData;
    mapping.file_offset = sector * kSectorBytes + bitmap_size_ + in_block;
    check_inside(mapping.file_offset, mapping.length, offset);
    return mapping;
  }

 private:
  std::uint64_t table_ = 0;
  std::uint64_t block_size_ = 0;
  std::uint64_t bitmap_size_ = 0;
};

}  // namespace

std::unique_ptr<BlockMap> open_vhd_map(const ImageLocation& location) {
  LocatedFile file(location);
  std::vector<std::byte> bytes(kVhdFooterSize);
  file.read_exactly_at(file.length() - std::min<std::uint64_t>(kVhdFooterSize, file.length()), bytes);
  VhdFooter footer = parse_vhd_footer(bytes, file.name());
  return std::make_unique<VhdMap>(std::move(file), footer);
}

}  // namespace hyper2kvm::image
