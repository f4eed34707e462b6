// The file under a target: data past the page cache where that helps, everything else through it.
//
// The aligned part of a big piece is written with O_DIRECT where the file system takes it: no second copy in
// memory, and the disk works while the processors inflate, instead of all at once at the sync. Pieces that
// have no such part are collected until they do. The two descriptors of the file never write the same 4 KiB
// block at the same time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "runner/os/file.h"

namespace hyper2kvm::image {

struct Placed;

// Memory at a multiple of 4096, as O_DIRECT wants it; in huge pages where it is as large as some of these.
class AlignedBuffer {
 public:
  static constexpr std::size_t kAlignment = 4096;
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t size);
  std::byte* data() { return data_.get(); }
  std::size_t size() const { return size_; }
  std::span<std::byte> span() { return {data_.get(), size_}; }

 private:
  struct Free {
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte[], Free> data_;
  std::size_t size_ = 0;
};

class WriteStage;

class TargetFile {
 public:
  // Creates the file, which must not exist, or opens a block device that does. collect_small_writes: for a
  // target whose pieces follow each other in the file byte after byte.
  explicit TargetFile(const std::filesystem::path& path, bool collect_small_writes = false);
  ~TargetFile();

  const std::filesystem::path& path() const { return buffered_.path(); }
  bool is_block_device() const { return block_device_; }
  // Neighbours in both file and memory go out as one write. What was collected is not in the file before
  // flush(). Thread-safe.
  void write(std::span<const Placed> placed);
  // For a file that grows as it is written: takes room up to end, and some more, before the writes come. File
  // systems let only one writer at a time lengthen a file past the page cache, but several fill what is
  // there. What is too much is given back by truncate(). By one thread at a time.
  void expect_growth(std::uint64_t end);
  // Writes what was collected. By one thread, when the others are done; what follows it goes out at once.
  void flush();
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  void read_exactly_at(std::uint64_t offset, std::span<std::byte> bytes) const {
    buffered_.read_exactly_at(offset, bytes);
  }
  void zero_at(std::uint64_t offset, std::uint64_t length) { buffered_.zero_at(offset, length); }
  void truncate(std::uint64_t size) { buffered_.truncate(size); }
  std::uint64_t size() const { return buffered_.size(); }
  void sync() { buffered_.sync(); }
  // Syncs, closes, and returns the bytes that the file takes up on the disk.
  std::uint64_t finish();

 private:
  os::File buffered_;
  os::File direct_;  // none where the file system does not take O_DIRECT
  std::unique_ptr<WriteStage> stage_;
  std::uint64_t expected_ = 0;  // by expect_growth
  bool block_device_ = false;
};

}  // namespace hyper2kvm::image
