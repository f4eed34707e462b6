// A disk that is read by its blocks: where data may be, and what they are.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "runner/image/source.h"
#include "runner/image/target.h"
#include "runner/os/file.h"
#include "runner/os/stop.h"

namespace hyper2kvm::image {

class BlockSource {
 public:
  virtual ~BlockSource() = default;
  // The next range at or after offset that may hold something else than zeroes; length 0 when there is none.
  // By one thread, which may be another than the readers'.
  virtual os::File::Range next_data(std::uint64_t offset) = 0;
  // All of it. Different readers (0 to readers-1) may read at the same time.
  virtual void read(unsigned reader, std::uint64_t offset, std::span<std::byte> bytes) = 0;
  // True where clusters of kClusterSize may be packed in this way.
  virtual bool has_packed(ClusterCompression) const { return false; }
  // For those: the stream of the cluster at offset (a multiple of kClusterSize) in packed, checked, and the
  // cluster in plain. Returns the stream's size; 0 where that cluster is not packed, and more than packed
  // holds where it did not shrink: then only plain is filled.
  virtual std::size_t read_packed(unsigned /*reader*/, std::uint64_t /*offset*/,
                                  std::span<std::byte> /*packed*/, std::span<std::byte> /*plain*/) {
    return 0;
  }
  // When all was read: throws os::Error where the files were cut meanwhile, which no read need have noticed.
  virtual void end() = 0;
  // Makes reads that are under way fail soon. Any thread.
  virtual void abort() noexcept {}
};

// Layout::kFlat and kMapped: from the files at once. A stop request ends next_data(), which may have long
// tables to walk.
std::unique_ptr<BlockSource> open_file_source(const SourceImage& source, unsigned readers,
                                              const os::StopToken& stop);
// Any layout: a qemu-storage-daemon of its own, with one NBD connection a reader over a unix socket in
// scratch. It is gone when this is destroyed.
std::unique_ptr<BlockSource> open_nbd_source(const SourceImage& source, unsigned readers,
                                             const std::filesystem::path& scratch);

}  // namespace hyper2kvm::image
