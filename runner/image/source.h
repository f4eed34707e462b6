// A source image: where its bytes are, what it is, and how qemu-storage-daemon must be told to open it.
//
// Everything that an image's own headers say is read by us first, bounded and checked: qemu never probes a
// format and never follows a name that we did not resolve.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runner/contract/manifest.h"

namespace hyper2kvm::image {

// A whole file, or a member of an OVA that is read in place.
struct ImageLocation {
  std::filesystem::path file;
  std::uint64_t offset = 0;  // bytes from the start of the file
  std::uint64_t length = 0;  // bytes
  std::string name;          // what messages call it; empty: the file's path
};

// All of a file, or of a block device, as long as it is now. Throws os::Error.
ImageLocation whole_file(const std::filesystem::path& path);

enum class Layout {
  kStreamOptimized,  // VMDK: our own reader, one pass
  kFlat,             // raw, fixed VHD, VMDK flat extents: bytes at known places
  kMapped,           // blocks behind a map that we read ourselves: most images
  kOther,            // through qemu-storage-daemon: what has backing or data files, and rare kinds
};

// A run of a disk, in disk order: a flat one is bytes of a file, a mapped one is an image in a file.
struct SourceExtent {
  std::filesystem::path file;
  std::uint64_t offset = 0;        // bytes, where the data or the image begin
  std::uint64_t length = 0;        // bytes of the file
  std::uint64_t virtual_size = 0;  // bytes of the disk
  bool mapped = false;
};

// What a qcow2 image of ours can hold, with the largest L1 table that QEMU reads. A header or a sparse file
// that says more would have us make tables of many GiB.
constexpr std::uint64_t kLargestDisk = std::uint64_t{1} << 51;

// A qcow2 image among those that QEMU reads for us.
struct ChainedImage {
  ImageLocation location;
  std::optional<std::uint64_t> data_length;  // of its data file, where it has one
};

struct SourceImage {
  ImageLocation location;
  contract::SourceFormat format = contract::SourceFormat::kRaw;
  Layout layout = Layout::kOther;
  std::uint64_t virtual_size = 0;  // bytes
  // Every file that belongs to it (extents, a backing chain), location.file first.
  std::vector<std::filesystem::path> files;
  // Where QEMU reads, which may be more than one place of a file, as long as it was when its headers were
  // read.
  std::vector<ImageLocation> opened_by_qemu;
  std::vector<ChainedImage> chain;    // of a qcow2
  std::vector<SourceExtent> extents;  // kFlat and kMapped
  // JSON for qemu-storage-daemon's --blockdev, in order, read-only; the last one's node-name is node_name.
  std::vector<std::string> blockdevs;
  std::string node_name;
};

// name_prefix makes the node names of several disks differ ("disk0"). Throws os::Error (kInvalid) for what is
// damaged, hostile or unsupported.
SourceImage open_source(const ImageLocation& location, contract::SourceFormat format,
                        const std::string& name_prefix);

// Told by the file's own magic (raw where there is none); used only where no manifest says it.
contract::SourceFormat detect_format(const ImageLocation& location);

}  // namespace hyper2kvm::image
