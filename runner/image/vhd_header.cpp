#include "runner/image/vhd_header.h"

#include <cstring>
#include <string_view>

#include "runner/image/byte_order.h"
#include "runner/image/refusal.h"

namespace hyper2kvm::image {
namespace {

// Who writes the true size into the footer. Virtual PC, and qemu in its compatible mode, mean the geometry.
bool means_current_size(std::string_view creator) {
  return creator == "win " || creator == "qem2" || creator == "d2v " || creator == "CTXS" ||
         creator.substr(0, 3) == "tap";
}

}  // namespace

bool has_vhd_magic(std::span<const std::byte> bytes) {
  return bytes.size() >= 8 && std::memcmp(bytes.data(), "conectix", 8) == 0;
}

VhdFooter parse_vhd_footer(std::span<const std::byte> bytes, const std::string& name) {
  if (bytes.size() < kVhdFooterSize || !has_vhd_magic(bytes)) refuse(name, "has no VHD footer");
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < kVhdFooterSize; ++i)
    if (i < 64 || i >= 68) sum += std::to_integer<std::uint32_t>(bytes[i]);
  if (load_big<std::uint32_t>(bytes, 64) != ~sum) refuse(name, "has a footer whose checksum is wrong");
  const std::uint32_t type = load_big<std::uint32_t>(bytes, 60);
  if (type == 4)
    refuse(name, "is the difference to another disk, not a whole disk",
           "Merge it with its parent and export it again.");
  if (type != 2 && type != 3)
    refuse(name, "is a VHD of a kind that does not exist (" + std::to_string(type) + ")");

  VhdFooter footer;
  footer.type = type == 2 ? VhdFooter::Type::kFixed : VhdFooter::Type::kDynamic;
  footer.header_offset = load_big<std::uint64_t>(bytes, 16);
  const std::uint64_t current_size = load_big<std::uint64_t>(bytes, 48);
  const std::uint64_t cylinders = load_big<std::uint16_t>(bytes, 56);
  const std::uint64_t heads = std::to_integer<std::uint64_t>(bytes[58]);
  const std::uint64_t sectors = std::to_integer<std::uint64_t>(bytes[59]);
  const std::uint64_t geometry = cylinders * heads * sectors;
  constexpr std::uint64_t kLargestGeometry = 65535ull * 16 * 255;
  // 2 TiB and a little: block numbers and sectors are 32 bits in a VHD.
  if (current_size == 0 || current_size % 512 != 0 || current_size > (std::uint64_t{1} << 41))
    refuse(name, "says that its disk has " + std::to_string(current_size) + " bytes, which no VHD can have");
  std::string_view creator(reinterpret_cast<const char*>(bytes.data()) + 28, 4);
  footer.virtual_size = current_size;
  // QEMU, through which the repair reads the dynamic ones, goes by the geometry then; what the copy holds
  // must be the same disk. A fixed one is plain data for both.
  if (footer.type == VhdFooter::Type::kDynamic && geometry != kLargestGeometry &&
      !means_current_size(creator) && geometry * 512 != current_size) {
    if (creator != "vpc " && creator != "qemu")
      refuse(name,
             "says that its disk has " + std::to_string(current_size) + " bytes, and its geometry says " +
                 std::to_string(geometry * 512),
             "Export the disk as VHDX or as a fixed VHD.");
    footer.virtual_size = geometry * 512;
  }
  if (footer.virtual_size == 0) refuse(name, "holds a disk of size 0");
  return footer;
}

}  // namespace hyper2kvm::image
