// A disk image that is being written.
//
// Pieces of the virtual disk arrive in two steps, so that many threads can write one target and it still
// comes out the same each time: place() says where in the file each piece goes (one caller at a time, in disk
// order), write() puts them there (any thread, any order). What was never placed reads as zeroes. overwrite()
// and zero() change what is there already, when the copy is done. finish() completes the metadata.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "runner/image/compression.h"
#include "runner/image/target_file.h"
#include "runner/os/stop.h"

namespace hyper2kvm::image {

// The unit of the engine: a grain, a cluster. Pieces begin at multiples of it.
constexpr std::size_t kClusterSize = 64 * 1024;

struct Piece {
  enum class Encoding {
    kPlain,       // bytes as the guest sees them: whole clusters, but for the end of the disk
    kCompressed,  // one cluster, in the compression of the target (raw deflate, zstd)
  };
  std::uint64_t guest_offset = 0;
  Encoding encoding = Encoding::kPlain;
  std::span<const std::byte> bytes;  // owned by the caller until written
};

// Where a piece, or a part of it, goes.
struct Placed {
  std::uint64_t file_offset = 0;
  std::span<const std::byte> bytes;
};

class Target {
 public:
  virtual ~Target() = default;
  // Appends to placed. The caller sees to it that calls do not overlap. Throws os::Error (kInvalid) where a
  // piece lies outside the disk; a qcow2 also where something was placed before.
  virtual void place(std::span<const Piece> pieces, std::vector<Placed>& placed) = 0;
  // Thread-safe.
  void write(std::span<const Placed> placed) { file_.write(placed); }
  // Ends the copy: all that was written is in the file then. By one thread, when the others are done.
  virtual void flush() { file_.flush(); }

  // After the copy, by one thread. bytes: whole clusters, but for the end of the disk.
  virtual void overwrite(std::uint64_t guest_offset, std::span<const std::byte> bytes) = 0;
  virtual void zero(std::uint64_t guest_offset, std::uint64_t length) = 0;
  // Completes the metadata and syncs. Returns the bytes that the file takes up on the disk.
  virtual std::uint64_t finish() = 0;

  // Looked at by steps that may take long. Before the first place().
  void stop_with(const os::StopToken& stop) { stop_ = stop; }

 protected:
  Target(const std::filesystem::path& path, std::uint64_t virtual_size, bool collect_small_writes = false)
      : file_(path, collect_small_writes), virtual_size_(virtual_size) {}
  TargetFile file_;
  const std::uint64_t virtual_size_;
  os::StopToken stop_;
};

// A target file is created and must not exist; raw may also go to a block device that is there and that
// nobody uses.
std::unique_ptr<Target> create_raw_target(const std::filesystem::path& path, std::uint64_t virtual_size);
// compression: of the compressed pieces that will come; none where all will be plain.
std::unique_ptr<Target> create_qcow2_target(const std::filesystem::path& path, std::uint64_t virtual_size,
                                            std::optional<ClusterCompression> compression);
std::unique_ptr<Target> create_vdi_target(const std::filesystem::path& path, std::uint64_t virtual_size);

}  // namespace hyper2kvm::image
