// The two headers of a VMDK: the binary one of a sparse extent and the text descriptor. Parsing only: pure
// functions over bytes that somebody else has read, every number checked before it is believed.
//
// Source: VMware, "Virtual Disk Format 5.0" (sections "Sparse Extents", "Stream-Optimized Compressed Sparse
// Extents", "The Descriptor File").
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hyper2kvm::image {

constexpr std::uint64_t kSectorSize = 512;
constexpr std::size_t kSparseHeaderSize = 512;
// A descriptor is a page of text; this is what we are ready to read.
constexpr std::size_t kLargestDescriptor = 1u << 20;

// Of a sparse extent. Offsets and sizes are in sectors, as on the disk.
struct SparseHeader {
  // Stands in directory_offset where the directory is found through the footer at the end.
  static constexpr std::uint64_t kAtEnd = ~std::uint64_t{0};
  std::uint32_t version = 0;
  std::uint64_t capacity = 0;
  std::uint64_t grain_size = 0;
  std::uint64_t descriptor_offset = 0;
  std::uint64_t descriptor_size = 0;
  std::uint32_t table_entries = 0;  // grains a grain table
  std::uint64_t directory_offset = 0;
  std::uint64_t overhead = 0;  // where grains may begin
  bool compressed = false;     // each grain is a zlib stream
  bool has_markers = false;    // each grain and each table follows a marker
  bool has_zero_grains = false;

  // Grains of 64 KiB as zlib streams behind markers, tables of 512: what our own reader takes.
  bool is_stream_optimized() const {
    return compressed && has_markers && grain_size == 128 && table_entries == 512;
  }
};

bool has_sparse_magic(std::span<const std::byte> bytes);
// bytes: at least kSparseHeaderSize of them. name is for messages. Throws os::Error (kInvalid).
SparseHeader parse_sparse_header(std::span<const std::byte> bytes, const std::string& name);

struct DescriptorExtent {
  std::uint64_t sectors = 0;
  std::string type;  // FLAT, SPARSE, ZERO, VMFS, VMFSSPARSE...
  std::string file_name;
  std::uint64_t offset = 0;  // sectors, FLAT only
};

struct VmdkDescriptor {
  std::string create_type;
  bool has_parent = false;  // a snapshot's delta
  std::string parent_name;  // parentFileNameHint
  std::vector<DescriptorExtent> extents;
  std::uint64_t capacity() const;  // sectors, the sum of the extents
};

bool has_descriptor_magic(std::span<const std::byte> bytes);
// Throws os::Error (kInvalid) for lines that should be extents and are not, and for sizes that overflow.
VmdkDescriptor parse_vmdk_descriptor(std::string_view text, const std::string& name);

}  // namespace hyper2kvm::image
