#include "runner/image/vmdk_header.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "runner/contract/text.h"
#include "runner/image/byte_order.h"
#include "runner/os/error.h"

namespace hyper2kvm::image {
namespace {

constexpr std::string_view kDamaged = "The export is damaged: export the machine again.";

// 64 TiB; VMware's own limit is 62 TiB. It also bounds the grain directory: 8 MiB.
constexpr std::uint64_t kLargestCapacity = std::uint64_t{1} << 37;
// A delta or a flat disk that is described by thousands of 2 GiB extents is still a small text.
constexpr std::size_t kMostExtents = 65536;

[[noreturn]] void refuse(const std::string& name, const std::string& problem,
                         std::string_view advice = kDamaged) {
  throw os::Error(os::ErrorKind::kInvalid, name, problem, std::string(advice));
}

std::string_view unquote(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') return text.substr(1, text.size() - 2);
  return text;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return (x >= 'A' && x <= 'Z' ? x + 32 : x) == (y >= 'A' && y <= 'Z' ? y + 32 : y);
  });
}

bool parse_number(std::string_view text, std::uint64_t& value) {
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  return code == std::errc() && end == text.data() + text.size();
}

// Takes the next word off the front of line. Blanks are those of sscanf, with which qemu reads it.
std::string_view take_word(std::string_view& line) {
  line = contract::trim(line);
  std::size_t end = std::min(line.find_first_of(" \t\v\f"), line.size());
  std::string_view word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

// `RW 4192256 SPARSE "disk-s001.vmdk"`, `RW 63 FLAT "disk-flat.vmdk" 0`, `RW 100 ZERO`
DescriptorExtent parse_extent(std::string_view line, const std::string& name) {
  std::string whole(line.substr(0, 200));
  DescriptorExtent extent;
  take_word(line);  // the access, which does not matter to a reader
  if (!parse_number(take_word(line), extent.sectors) || extent.sectors > kLargestCapacity)
    refuse(name, "has an extent of no usable size in its descriptor (" + whole + ")");
  extent.type = take_word(line);
  line = contract::trim(line);
  if (extent.type == "ZERO") return extent;
  std::size_t closing = line.empty() || line[0] != '"' ? std::string_view::npos : line.find('"', 1);
  if (closing == std::string_view::npos || closing == 1)
    refuse(name, "names no file for an extent in its descriptor (" + whole + ")");
  extent.file_name = line.substr(1, closing - 1);
  line.remove_prefix(closing + 1);
  std::string_view offset = take_word(line);
  if (!offset.empty() && (!parse_number(offset, extent.offset) || extent.offset > kLargestCapacity))
    refuse(name, "has an extent at no usable offset in its descriptor (" + whole + ")");
  return extent;
}

}  // namespace

bool has_sparse_magic(std::span<const std::byte> bytes) {
  return bytes.size() >= 4 && std::memcmp(bytes.data(), "KDMV", 4) == 0;
}

SparseHeader parse_sparse_header(std::span<const std::byte> bytes, const std::string& name) {
  if (bytes.size() < kSparseHeaderSize || !has_sparse_magic(bytes)) refuse(name, "has no VMDK header");
  SparseHeader header;
  header.version = load_little<std::uint32_t>(bytes, 4);
  std::uint32_t flags = load_little<std::uint32_t>(bytes, 8);
  header.capacity = load_little<std::uint64_t>(bytes, 12);
  header.grain_size = load_little<std::uint64_t>(bytes, 20);
  header.descriptor_offset = load_little<std::uint64_t>(bytes, 28);
  header.descriptor_size = load_little<std::uint64_t>(bytes, 36);
  header.table_entries = load_little<std::uint32_t>(bytes, 44);
  header.directory_offset = load_little<std::uint64_t>(bytes, 56);
  header.overhead = load_little<std::uint64_t>(bytes, 64);
  std::uint16_t algorithm = load_little<std::uint16_t>(bytes, 77);
  header.compressed = (flags & (1u << 16)) != 0;
  header.has_markers = (flags & (1u << 17)) != 0;
  header.has_zero_grains = (flags & (1u << 2)) != 0;

  if (header.version < 1 || header.version > 3)
    refuse(name, "is a VMDK of version " + std::to_string(header.version) + ", and 1 to 3 are known",
           "Export the machine again in a format that is known.");
  // The four bytes are there to show that nobody sent the file through a transfer in text mode.
  if ((flags & 1u) != 0 && std::memcmp(bytes.data() + 73, "\n \r\n", 4) != 0)
    refuse(name, "was changed by a transfer in text mode", "Copy the file again in binary mode.");
  if (header.capacity == 0) refuse(name, "is a VMDK of size 0");
  if (header.capacity > kLargestCapacity)
    refuse(name, "says that its disk has " + std::to_string(header.capacity) +
                     " sectors, which is more than a VMDK can have (64 TiB)");
  if (header.grain_size < 8 || header.grain_size > 2048 || (header.grain_size & (header.grain_size - 1)) != 0)
    refuse(name, "has grains of " + std::to_string(header.grain_size) +
                     " sectors, and a power of two from 8 to 2048 is allowed");
  if (header.table_entries < 64 || header.table_entries > 4096)
    refuse(name,
           "has grain tables of " + std::to_string(header.table_entries) + " entries, and 512 are usual");
  if (header.compressed && algorithm != 1)
    refuse(name,
           "is compressed by a method that is not known (" + std::to_string(algorithm) +
               "); deflate is method 1",
           "Export the machine again in a format that is known.");
  if (header.descriptor_size > kLargestDescriptor / kSectorSize)
    refuse(name, "has a descriptor of " + std::to_string(header.descriptor_size) +
                     " sectors, which is too large to be one");
  return header;
}

std::uint64_t VmdkDescriptor::capacity() const {
  std::uint64_t sum = 0;
  for (const DescriptorExtent& extent : extents) sum += extent.sectors;
  return sum;
}

bool has_descriptor_magic(std::span<const std::byte> bytes) {
  std::string_view text(reinterpret_cast<const char*>(bytes.data()),
                        std::min<std::size_t>(bytes.size(), 1024));
  // Comment lines and blank lines may come before the line that tells it.
  while (!text.empty()) {
    std::string_view line = contract::trim(text.substr(0, text.find('\n')));
    if (line.find("# Disk DescriptorFile") == 0 || line.find("#Disk DescriptorFile") == 0) return true;
    if (!line.empty() && line[0] != '#') return false;
    std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return false;
    text.remove_prefix(end + 1);
  }
  return false;
}

VmdkDescriptor parse_vmdk_descriptor(std::string_view text, const std::string& name) {
  // An embedded descriptor is padded with zeroes.
  text = text.substr(0, text.find('\0'));
  VmdkDescriptor descriptor;
  while (!text.empty()) {
    std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = contract::trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line[0] == '#') continue;
    std::string_view rest = line;
    std::string_view first = take_word(rest);
    if (first == "RW" || first == "RDONLY" || first == "NOACCESS") {
      if (descriptor.extents.size() == kMostExtents)
        refuse(name, "lists more than " + std::to_string(kMostExtents) + " extents");
      descriptor.extents.push_back(parse_extent(line, name));
      if (descriptor.capacity() > kLargestCapacity)
        refuse(name, "describes a disk that is larger than a VMDK can be (64 TiB)");
      continue;
    }
    std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    std::string_view key = contract::trim(line.substr(0, equals));
    std::string_view value = unquote(contract::trim(line.substr(equals + 1)));
    if (equal_ignoring_case(key, "createType")) descriptor.create_type = value;
    if (equal_ignoring_case(key, "parentCID"))
      descriptor.has_parent = !value.empty() && !equal_ignoring_case(value, "ffffffff");
    if (equal_ignoring_case(key, "parentFileNameHint")) descriptor.parent_name = value;
  }
  return descriptor;
}

}  // namespace hyper2kvm::image
