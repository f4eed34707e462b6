#include "runner/image/qcow2_header.h"

#include <algorithm>
#include <vector>

#include "runner/image/byte_order.h"
#include "runner/image/qcow2_format.h"
#include "runner/image/refusal.h"

namespace hyper2kvm::image {
namespace {

// QEMU's own limit for an L1 table.
constexpr std::uint64_t kLargestL1 = 32u << 20;
constexpr std::uint32_t kLongestName = 1023;
constexpr std::uint32_t kEndOfExtensions = 0;
constexpr std::uint32_t kBackingFormat = 0xe2792aca;
constexpr std::uint32_t kDataFileName = 0x44415441;
constexpr std::uint32_t kMostSnapshots = 65536;

std::string text_at(std::span<const std::byte> window, std::size_t at, std::size_t size) {
  return std::string(reinterpret_cast<const char*>(window.data()) + at, size);
}

void parse_extensions(std::span<const std::byte> window, std::size_t at, std::size_t end, Qcow2Header& header,
                      const std::string& name) {
  while (at + 8 <= end) {
    std::uint32_t type = load_big<std::uint32_t>(window, at);
    std::uint32_t size = load_big<std::uint32_t>(window, at + 4);
    at += 8;
    if (type == kEndOfExtensions) return;
    if (size > end - at) refuse(name, "has a header extension that is longer than the header may be");
    if (type == kBackingFormat || type == kDataFileName) {
      if (size > kLongestName) refuse(name, "has a name in its header that is too long");
      (type == kBackingFormat ? header.backing_format : header.data_file) = text_at(window, at, size);
    }
    at += std::min<std::size_t>(round_up<std::size_t>(size, 8), end - at);
  }
}

}  // namespace

bool has_qcow2_magic(std::span<const std::byte> bytes) {
  return bytes.size() >= 4 && load_big<std::uint32_t>(bytes, 0) == qcow2::kMagic;
}

Qcow2Header parse_qcow2_header(std::span<const std::byte> window, std::uint64_t length,
                               const std::string& name) {
  if (window.size() < qcow2::kHeaderSizeVersion2 || !has_qcow2_magic(window))
    refuse(name, "has no qcow2 header");
  Qcow2Header header;
  header.version = load_big<std::uint32_t>(window, 4);
  if (header.version != 2 && header.version != 3)
    refuse(name, "is a qcow2 image of version " + std::to_string(header.version) + ", and 2 and 3 are known",
           "Convert it with qemu-img first.");
  header.cluster_bits = load_big<std::uint32_t>(window, 20);
  header.virtual_size = load_big<std::uint64_t>(window, 24);
  header.l1_size = load_big<std::uint32_t>(window, 36);
  header.l1_offset = load_big<std::uint64_t>(window, 40);
  header.snapshots = load_big<std::uint32_t>(window, 60);
  if (header.cluster_bits < 9 || header.cluster_bits > 21)
    refuse(name, "has clusters of 2^" + std::to_string(header.cluster_bits) +
                     " bytes, and 2^9 to 2^21 are allowed");
  if (load_big<std::uint32_t>(window, 32) != 0)
    refuse(name, "is encrypted", "Decrypt it first, for instance with qemu-img convert and its secret.");

  std::size_t header_size = qcow2::kHeaderSizeVersion2;
  if (header.version == 3) {
    if (window.size() < qcow2::kHeaderSizeVersion3) refuse(name, "ends inside its header");
    std::uint64_t features = load_big<std::uint64_t>(window, 72);
    constexpr std::uint64_t kKnown = qcow2::kIncompatibleDirty | qcow2::kIncompatibleCorrupt |
                                     qcow2::kIncompatibleDataFile | qcow2::kIncompatibleCompression |
                                     qcow2::kIncompatibleExtendedL2;
    if ((features & ~kKnown) != 0)
      refuse(name, "needs features of qcow2 that are not known", "Convert it with a newer qemu-img first.");
    if ((features & qcow2::kIncompatibleCorrupt) != 0)
      refuse(name, "is marked as corrupt", "Look at it with qemu-img check, or export it again.");
    header.dirty = (features & qcow2::kIncompatibleDirty) != 0;
    header.has_data_file = (features & qcow2::kIncompatibleDataFile) != 0;
    header.extended_l2 = (features & qcow2::kIncompatibleExtendedL2) != 0;
    header_size = load_big<std::uint32_t>(window, 100);
    if (load_big<std::uint32_t>(window, 96) > 6) refuse(name, "has refcounts of more than 64 bits");
    if (header_size < qcow2::kHeaderSizeVersion3 || header_size % 8 != 0 || header_size > window.size())
      refuse(name, "has a header of " + std::to_string(header_size) + " bytes, which cannot be");
    if ((features & qcow2::kIncompatibleCompression) != 0) {
      if (header_size <= 104) refuse(name, "does not say how it is compressed");
      unsigned type = std::to_integer<unsigned>(window[104]);
      if (type != qcow2::kCompressionZstd)
        refuse(name, "is compressed by a method that is not known (" + std::to_string(type) + ")",
               "Convert it with a newer qemu-img first.");
      header.zstd = true;
    }
  }

  // Subtractions and divisions only, so that nothing can overflow.
  const std::uint64_t cluster = std::uint64_t{1} << header.cluster_bits;
  const std::uint64_t entries = cluster / (header.extended_l2 ? 16 : 8);
  if (header.virtual_size > (std::uint64_t{1} << 62)) refuse(name, "says that its disk is larger than 4 EiB");
  const std::uint64_t needed = divide_up(divide_up(header.virtual_size, cluster), entries);
  if (std::uint64_t{header.l1_size} * 8 > kLargestL1)
    refuse(name, "has an L1 table of " + std::to_string(header.l1_size) + " entries, which is too large");
  if (header.l1_size < needed)
    refuse(name, "has an L1 table that is too small for its disk of " + std::to_string(header.virtual_size) +
                     " bytes");
  if (header.l1_size > 0 && (header.l1_offset % cluster != 0 || header.l1_offset > length ||
                             std::uint64_t{header.l1_size} * 8 > length - header.l1_offset))
    refuse(name, "has its L1 table past the end of the file");
  if (header.snapshots > kMostSnapshots)
    refuse(name, "says that it holds " + std::to_string(header.snapshots) + " snapshots");

  const std::size_t extensions_end =
      static_cast<std::size_t>(std::min<std::uint64_t>(cluster, window.size()));
  std::uint64_t backing_offset = load_big<std::uint64_t>(window, 8);
  std::uint32_t backing_size = load_big<std::uint32_t>(window, 16);
  if (backing_offset != 0) {
    if (backing_size > kLongestName || backing_offset > extensions_end ||
        backing_size > extensions_end - backing_offset)
      refuse(name, "has the name of its backing file in an impossible place");
    header.backing_file = text_at(window, static_cast<std::size_t>(backing_offset), backing_size);
  }
  if (header_size <= extensions_end) parse_extensions(window, header_size, extensions_end, header, name);
  return header;
}

Qcow2Header read_qcow2_header(const LocatedFile& file) {
  std::vector<std::byte> window(
      static_cast<std::size_t>(std::min<std::uint64_t>(kQcow2HeaderWindow, file.length())));
  file.read_exactly_at(0, window);
  return parse_qcow2_header(window, file.length(), file.name());
}

}  // namespace hyper2kvm::image
