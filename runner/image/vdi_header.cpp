#include "runner/image/vdi_header.h"

#include <array>

#include "runner/image/byte_order.h"
#include "runner/image/refusal.h"
#include "runner/image/vdi_format.h"
#include "runner/image/zeroes.h"

namespace hyper2kvm::image {

bool has_vdi_magic(std::span<const std::byte> bytes) {
  return bytes.size() >= 68 && load_little<std::uint32_t>(bytes, 64) == vdi::kSignature;
}

VdiHeader read_vdi_header(const LocatedFile& file) {
  std::array<std::byte, vdi::kHeaderSize> header;
  file.read_exactly_at(0, header);
  const std::span<const std::byte> bytes(header);
  const std::uint64_t length = file.length();
  const std::string& name = file.name();
  if (!has_vdi_magic(bytes)) refuse(name, "has no VDI header");
  const std::uint32_t version = load_little<std::uint32_t>(bytes, 68);
  const std::uint32_t type = load_little<std::uint32_t>(bytes, 76);
  const std::uint64_t map_offset = load_little<std::uint32_t>(bytes, 340);
  const std::uint64_t data_offset = load_little<std::uint32_t>(bytes, 344);
  const std::uint32_t sector_size = load_little<std::uint32_t>(bytes, 360);
  const std::uint64_t virtual_size = load_little<std::uint64_t>(bytes, 368);
  const std::uint32_t block_size = load_little<std::uint32_t>(bytes, 376);
  const std::uint64_t blocks = load_little<std::uint32_t>(bytes, 384);
  const std::uint64_t allocated = load_little<std::uint32_t>(bytes, 388);
  auto has_uuid = [&](std::size_t at) { return !is_zero(bytes.subspan(at, 16)); };
  if (version != vdi::kVersion)
    refuse(name,
           "is a VDI of version " + std::to_string(version >> 16) + "." + std::to_string(version & 0xffff) +
               ", and 1.1 is known",
           "Convert it with VBoxManage first.");
  if (type == vdi::kDifference || has_uuid(424) || has_uuid(440))
    refuse(name, "is the difference to another disk, not a whole disk",
           "Clone the disk with VBoxManage, which merges its snapshots.");
  if (type != vdi::kDynamic && type != vdi::kFixed)
    refuse(name, "is a VDI of a kind that is not known (" + std::to_string(type) + ")");
  if (sector_size != vdi::kSectorSize || block_size != vdi::kBlockSize)
    refuse(name, "has blocks of " + std::to_string(block_size) + " bytes and sectors of " +
                     std::to_string(sector_size) + ", and 1 MiB and 512 are known");
  if (virtual_size == 0 || virtual_size / vdi::kBlockSize >= 0x3fffffff ||
      divide_up(virtual_size, vdi::kBlockSize) > blocks)
    refuse(name, "says that its disk has " + std::to_string(virtual_size) + " bytes and " +
                     std::to_string(blocks) + " blocks, which contradict each other");
  if (map_offset % vdi::kSectorSize != 0 || data_offset % vdi::kSectorSize != 0 || map_offset > length ||
      blocks * 4 > length - map_offset)
    refuse(name, "has its block map past the end of the file");
  if (data_offset > length || allocated > divide_up(length - data_offset, vdi::kBlockSize))
    refuse(name, "ends too early: " + std::to_string(allocated) + " blocks are not all there",
           "The file is truncated: export or copy it again.");
  return VdiHeader{virtual_size, map_offset, data_offset};
}

}  // namespace hyper2kvm::image
