#include "runner/image/located_file.h"

#include <fcntl.h>

#include <algorithm>

#include "runner/os/error.h"

namespace hyper2kvm::image {

std::string display_name(const ImageLocation& location) {
  return location.name.empty() ? location.file.string() : location.name;
}

LocatedFile::LocatedFile(const ImageLocation& location)
    : file_(os::File::open(location.file, os::File::Mode::kRead)),
      name_(display_name(location)),
      base_(location.offset),
      length_(location.length) {
  expect_whole();
}

void LocatedFile::expect_whole() const {
  std::uint64_t size = file_.size();
  if (base_ > size || length_ > size - base_)
    throw os::Error(os::ErrorKind::kInvalid, name_,
                    "ends too early: it should be " + std::to_string(length_) + " bytes long and only " +
                        std::to_string(base_ > size ? 0 : size - base_) + " are there",
                    "The file is truncated: export or copy it again.");
}

void LocatedFile::read_exactly_at(std::uint64_t offset, std::span<std::byte> buffer) const {
  bool inside = offset <= length_ && buffer.size() <= length_ - offset;
  if (!inside || file_.read_at(base_ + offset, buffer) != buffer.size())
    throw os::Error(os::ErrorKind::kInvalid, name_,
                    "ends too early: " + std::to_string(buffer.size()) + " bytes at " +
                        std::to_string(offset) + " are not all there",
                    "The file is truncated: export or copy it again.");
}

os::File::Range LocatedFile::next_data(std::uint64_t offset) const {
  if (offset >= length_) return {length_, 0};
  os::File::Range range = file_.next_data(base_ + offset);
  std::uint64_t end = base_ + length_;
  if (range.length == 0) {
    // The end of a file that was cut meanwhile looks like a hole.
    expect_whole();
    return {length_, 0};
  }
  if (range.offset >= end) return {length_, 0};
  return {range.offset - base_, std::min(range.offset + range.length, end) - range.offset};
}

void LocatedFile::expect_sequential_reads() const {
  // Advice only: a file system that cannot take it reads as well without.
  (void)::posix_fadvise(file_.fd(), static_cast<off_t>(base_), static_cast<off_t>(length_),
                        POSIX_FADV_SEQUENTIAL);
}

void LocatedFile::expect_read(std::uint64_t offset, std::uint64_t length) const {
  if (offset >= length_) return;
  (void)::posix_fadvise(file_.fd(), static_cast<off_t>(base_ + offset),
                        static_cast<off_t>(std::min(length, length_ - offset)), POSIX_FADV_WILLNEED);
}

}  // namespace hyper2kvm::image
