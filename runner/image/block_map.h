// Which bytes of which file are a disk's data: the maps of the formats that put blocks where there is room.
//
// One map is one file. Maps read their tables piece by piece when they are asked, so a disk of any size costs
// a few hundred KiB; every number in a table is checked against the length of the file before it is used.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "runner/image/compression.h"
#include "runner/image/located_file.h"
#include "runner/image/source.h"
#include "runner/os/stop.h"

namespace hyper2kvm::image {

struct Mapping {
  enum class Kind {
    kHole,        // reads as zeroes
    kData,        // length bytes of the file at file_offset
    kCompressed,  // the rest of one cluster, which is packed in up to stored_size bytes at file_offset
  };
  Kind kind = Kind::kHole;
  std::uint64_t length = 0;  // bytes of the disk, more than 0
  std::uint64_t file_offset = 0;
  std::uint64_t stored_size = 0;
};

class BlockMap {
 public:
  virtual ~BlockMap() = default;
  // What is at a byte of the disk; offset is below virtual_size(). Neighbours may come together. Throws
  // os::Error (kInvalid) for tables that cannot be. Not thread-safe.
  virtual Mapping at(std::uint64_t offset) = 0;
  const LocatedFile& file() const { return file_; }
  std::uint64_t virtual_size() const { return virtual_size_; }
  // How kCompressed clusters are packed, and how large they are.
  ClusterCompression compression() const { return compression_; }
  std::uint64_t cluster_size() const { return cluster_size_; }

 protected:
  BlockMap(LocatedFile file, std::uint64_t virtual_size)
      : file_(std::move(file)), virtual_size_(virtual_size) {}

  // A number in a table of the file, through a small cache of pieces.
  template <typename T>
  T little(std::uint64_t file_offset) {
    return load_entry<T>(file_offset, false);
  }
  template <typename T>
  T big(std::uint64_t file_offset) {
    return load_entry<T>(file_offset, true);
  }
  // Each table has a place of its own, so so many of this size must fit into the file: tables that were named
  // twice would make a small file take for ever.
  void check_tables(std::uint64_t count, std::uint64_t size) const;
  // Data must lie inside the file.
  void check_inside(std::uint64_t file_offset, std::uint64_t size, std::uint64_t guest_offset) const;
  [[noreturn]] void refuse_outside(std::uint64_t guest_offset) const;

  LocatedFile file_;
  std::uint64_t virtual_size_;
  ClusterCompression compression_ = ClusterCompression::kDeflate;
  std::uint64_t cluster_size_ = 0;

 private:
  static constexpr std::size_t kPageSize = 4096;
  struct Page {
    std::uint64_t offset = ~std::uint64_t{0};
    std::array<std::byte, kPageSize> bytes;
  };
  template <typename T>
  T load_entry(std::uint64_t file_offset, bool big_endian);
  const Page& page(std::uint64_t offset);
  std::vector<Page> pages_ = std::vector<Page>(64);
};

// One sparse extent of a VMDK, not compressed.
std::unique_ptr<BlockMap> open_vmdk_map(const ImageLocation& location);
// A dynamic VHD.
std::unique_ptr<BlockMap> open_vhd_map(const ImageLocation& location);
std::unique_ptr<BlockMap> open_vhdx_map(const ImageLocation& location);
std::unique_ptr<BlockMap> open_vdi_map(const ImageLocation& location);
// A qcow2 image that refers to no other file, with plain L2 entries.
std::unique_ptr<BlockMap> open_qcow2_map(const ImageLocation& location);
// Any qcow2 image, also one of a chain: throws os::Error (kInvalid) where a cluster lies past the end of the
// file, for which QEMU would read zeroes. data_length: of its data file, where it has one.
void check_qcow2_clusters(const ImageLocation& location, std::optional<std::uint64_t> data_length,
                          const os::StopToken& stop);

}  // namespace hyper2kvm::image
