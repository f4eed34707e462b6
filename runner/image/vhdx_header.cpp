#include "runner/image/vhdx_header.h"

#include <array>
#include <cstring>
#include <optional>
#include <vector>

#include "runner/image/byte_order.h"
#include "runner/image/refusal.h"
#include "runner/image/zeroes.h"

namespace hyper2kvm::image {
namespace {

using Guid = std::array<unsigned char, 16>;

// As they lie in the file: the first three parts little endian.
constexpr Guid kMetadataRegion = {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
                                  0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e};
constexpr Guid kTableRegion = {0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42,
                               0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08};
constexpr Guid kLogicalSectorSize = {0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47,
                                     0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f};
constexpr Guid kFileParameters = {0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
                                  0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b};
constexpr Guid kVirtualDiskSize = {0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48,
                                   0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8};
constexpr std::uint64_t kRegionTableOffsets[] = {192 * 1024, 256 * 1024};
constexpr std::uint64_t kHeaderOffsets[] = {64 * 1024, 128 * 1024};
constexpr std::size_t kTableSize = 64 * 1024;
constexpr std::uint32_t kMostEntries = 2047;

bool has_guid(std::span<const std::byte> bytes, std::size_t at, const Guid& guid) {
  return std::memcmp(bytes.data() + at, guid.data(), guid.size()) == 0;
}

// CRC-32C of a structure whose own field of 4 bytes at offset 4 counts as zero.
std::uint32_t checksum(std::span<const std::byte> bytes) {
  std::uint32_t crc = ~std::uint32_t{0};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    crc ^= i >= 4 && i < 8 ? 0 : std::to_integer<std::uint32_t>(bytes[i]);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
  }
  return ~crc;
}

}  // namespace

bool has_vhdx_magic(std::span<const std::byte> bytes) {
  return bytes.size() >= 8 && std::memcmp(bytes.data(), "vhdxfile", 8) == 0;
}

VhdxHeader read_vhdx_header(const std::function<void(std::uint64_t, std::span<std::byte>)>& read,
                            std::uint64_t length, const std::string& name) {
  if (length < (1u << 20)) refuse(name, "is too short to be a VHDX");
  // Of the two headers the valid one with the higher number counts.
  std::vector<std::byte> header(4096);
  bool found = false;
  bool needs_replay = false;
  std::uint64_t highest = 0;
  for (std::uint64_t offset : kHeaderOffsets) {
    read(offset, header);
    if (std::memcmp(header.data(), "head", 4) != 0 ||
        load_little<std::uint32_t>(header, 4) != checksum(header))
      continue;
    std::uint64_t number = load_little<std::uint64_t>(header, 8);
    if (found && number <= highest) continue;
    found = true;
    highest = number;
    needs_replay = !is_zero(std::span(header).subspan(48, 16));
  }
  if (!found) refuse(name, "has no valid VHDX header");
  if (needs_replay)
    refuse(name, "was not closed properly: its log holds changes that were not written",
           "Attach and detach the disk once on its host, and export it again.");

  std::vector<std::byte> table(kTableSize);
  std::uint64_t metadata_offset = 0;
  std::uint64_t table_length = 0;
  VhdxHeader result;
  for (std::uint64_t offset : kRegionTableOffsets) {
    read(offset, table);
    if (std::memcmp(table.data(), "regi", 4) != 0 || load_little<std::uint32_t>(table, 4) != checksum(table))
      continue;
    std::uint32_t entries = load_little<std::uint32_t>(table, 8);
    if (entries > kMostEntries) refuse(name, "has too many entries in its region table");
    for (std::uint32_t entry = 0; entry < entries; ++entry) {
      const std::size_t at = 16 + entry * std::size_t{32};
      const std::uint64_t region = load_little<std::uint64_t>(table, at + 16);
      if (has_guid(table, at, kMetadataRegion)) metadata_offset = region;
      if (!has_guid(table, at, kTableRegion)) continue;
      result.table_offset = region;
      table_length = load_little<std::uint32_t>(table, at + 24);
    }
    break;
  }
  if (metadata_offset == 0 || result.table_offset == 0) refuse(name, "has no valid region table");
  if (metadata_offset > length || length - metadata_offset < kTableSize)
    refuse(name, "has its metadata past the end of the file");

  read(metadata_offset, table);
  if (std::memcmp(table.data(), "metadata", 8) != 0) refuse(name, "has no metadata table");
  std::uint16_t entries = load_little<std::uint16_t>(table, 10);
  if (entries > kMostEntries) refuse(name, "has too many entries in its metadata table");
  auto read_item = [&](const Guid& guid, std::span<std::byte> item) {
    for (std::size_t entry = 0; entry < entries; ++entry) {
      std::size_t at = 32 + entry * 32;
      if (!has_guid(table, at, guid)) continue;
      std::uint64_t offset = load_little<std::uint32_t>(table, at + 16);
      if (load_little<std::uint32_t>(table, at + 20) < item.size() ||
          offset + item.size() > length - metadata_offset)
        refuse(name, "has a metadata item past the end of the file");
      read(metadata_offset + offset, item);
      return;
    }
    refuse(name, "lacks metadata that every VHDX has");
  };
  std::array<std::byte, 8> item;
  read_item(kFileParameters, item);
  result.block_size = load_little<std::uint32_t>(item, 0);
  if ((load_little<std::uint32_t>(item, 4) & 2) != 0)
    refuse(name, "is the difference to another disk, not a whole disk",
           "Merge its checkpoints and export it again.");
  if (result.block_size < (1u << 20) || result.block_size > (256u << 20) ||
      (result.block_size & (result.block_size - 1)) != 0)
    refuse(name,
           "has blocks of " + std::to_string(result.block_size) + " bytes, and 1 to 256 MiB are allowed");
  read_item(kVirtualDiskSize, item);
  result.virtual_size = load_little<std::uint64_t>(item, 0);
  if (result.virtual_size == 0 || result.virtual_size % 512 != 0 ||
      result.virtual_size > (std::uint64_t{64} << 40))
    refuse(name, "says that its disk has " + std::to_string(result.virtual_size) +
                     " bytes, which no VHDX can have");
  read_item(kLogicalSectorSize, std::span(item).first(4));
  result.sector_size = load_little<std::uint32_t>(item, 0);
  if (result.sector_size != 512 && result.sector_size != 4096)
    refuse(name,
           "has sectors of " + std::to_string(result.sector_size) + " bytes, and 512 and 4096 are allowed");
  const std::uint64_t blocks = divide_up(result.virtual_size, result.block_size);
  const std::uint64_t blocks_in_group = (std::uint64_t{1} << 23) * result.sector_size / result.block_size;
  const std::uint64_t needed = (blocks + (blocks - 1) / blocks_in_group) * 8;
  if (needed > table_length || result.table_offset > length || needed > length - result.table_offset)
    refuse(name, "has a block table that is too small for its disk, or past the end of the file");
  return result;
}

VhdxHeader read_vhdx_header(const LocatedFile& file) {
  return read_vhdx_header(
      [&](std::uint64_t offset, std::span<std::byte> bytes) { file.read_exactly_at(offset, bytes); },
      file.length(), file.name());
}

}  // namespace hyper2kvm::image
