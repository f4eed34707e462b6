// An image inside a file: opened once, read at offsets that count from the image's own first byte, never past
// its last.
#pragma once

#include <span>
#include <string>

#include "runner/image/source.h"
#include "runner/os/file.h"

namespace hyper2kvm::image {

// What messages call an image: its name inside an OVA, or its path.
std::string display_name(const ImageLocation& location);

// Reads may come from several threads at once.
class LocatedFile {
 public:
  // Throws os::Error (kInvalid) where the location is not inside the file.
  explicit LocatedFile(const ImageLocation& location);
  std::uint64_t length() const { return length_; }
  const std::string& name() const { return name_; }
  // Throws where the file has become too short. A read that is under way while a file is cut may return
  // zeroes and no error, so whoever has read all of it asks once more in the end.
  void expect_whole() const;
  // All of it, or an Error that calls the image truncated.
  void read_exactly_at(std::uint64_t offset, std::span<std::byte> buffer) const;
  // The next range at or after offset that may hold something else than zeroes; length 0 when there is none.
  os::File::Range next_data(std::uint64_t offset) const;
  // Tell the kernel to read ahead, where it listens: in general, and a range that is wanted soon.
  void expect_sequential_reads() const;
  void expect_read(std::uint64_t offset, std::uint64_t length) const;

 private:
  os::File file_;
  std::string name_;
  std::uint64_t base_ = 0;
  std::uint64_t length_ = 0;
};

}  // namespace hyper2kvm::image
