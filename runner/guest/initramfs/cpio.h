// cpio archives in the form that the kernel unpacks: "newc" (magic 070701, or 070702 with checksums).
// Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>

namespace hyper2kvm::guest {

struct CpioEntry {
  std::string name;  // without "/" or "./" before it
  std::uint32_t mode = 0;
  std::uint32_t link_count = 1;
  std::uint64_t size = 0;
  std::string content;  // where it was asked for, and of symbolic links
};

// Takes an archive piece by piece, as it comes out of a decompressor, and tells of its entries. Bounded:
// names of at most 4096 bytes, contents only as large as asked for. Throws os::Error where the data is no
// archive.
class CpioReader {
 public:
  // wanted says how many bytes of a file's content to keep at most (0: none).
  CpioReader(std::string archive_name, std::function<std::size_t(const CpioEntry&)> wanted,
             std::function<void(CpioEntry)> take);
  // Eats bytes until the piece is used up or the archive's trailer has passed; returns how many.
  std::size_t feed(std::span<const std::byte> piece);
  // True after a trailer and before anything of the next archive.
  bool between_archives() const { return state_ == State::kHeader && held_.empty(); }
  bool saw_trailer() const { return saw_trailer_; }
  void begin_next() { saw_trailer_ = false; }

 private:
  enum class State { kHeader, kName, kContent, kPadding };
  void read_header();
  void read_name();
  void end_entry();
  [[noreturn]] void refuse(const std::string& what) const;

  std::string archive_name_;
  std::function<std::size_t(const CpioEntry&)> wanted_;
  std::function<void(CpioEntry)> take_;
  State state_ = State::kHeader;
  std::string held_;  // of the header or the name
  CpioEntry entry_;
  std::uint64_t name_size_ = 0;
  std::uint64_t left_ = 0;  // of the content or the padding
  std::size_t keep_ = 0;
  bool saw_trailer_ = false;
};

// Writes an archive. Times are 0 and owners root, so that equal contents give equal bytes.
class CpioWriter {
 public:
  // The directories above path that known does not have, one entry each. known gains them. Existing
  // directories must not be written again: the kernel would replace a link of that name.
  void add_directories_above(std::string_view path, std::set<std::string>& known);
  void add_directory(std::string_view path, std::uint32_t mode = 0755);
  void add_file(std::string_view path, std::string_view content, std::uint32_t mode = 0644);
  // The whole archive with its trailer, padded to 4 bytes.
  std::string finish();
  bool empty() const { return bytes_.empty(); }

 private:
  void add(std::string_view path, std::uint32_t mode, std::string_view content);
  std::string bytes_;
  std::uint32_t next_inode_ = 0x600000;  // away from those of the archive before
};

}  // namespace hyper2kvm::guest
