#include "runner/guest/initramfs/cpio.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>

#include "runner/os/error.h"

namespace hyper2kvm::guest {
namespace {

constexpr std::size_t kHeaderSize = 110;
constexpr std::size_t kLongestName = 4096;
constexpr std::string_view kTrailer = "TRAILER!!!";

std::size_t padded(std::uint64_t size) { return static_cast<std::size_t>((size + 3) & ~std::uint64_t{3}); }

}  // namespace

CpioReader::CpioReader(std::string archive_name, std::function<std::size_t(const CpioEntry&)> wanted,
                       std::function<void(CpioEntry)> take)
    : archive_name_(std::move(archive_name)), wanted_(std::move(wanted)), take_(std::move(take)) {}

void CpioReader::refuse(const std::string& what) const {
  throw os::Error(
      os::ErrorKind::kInvalid, archive_name_, "is damaged: " + what,
      "Make it again in the source machine (update-initramfs, dracut or the like) and export that.");
}

void CpioReader::read_header() {
  if (!held_.starts_with("070701") && !held_.starts_with("070702")) refuse("what follows is no cpio archive");
  auto number = [this](std::size_t index) {
    std::uint32_t value = 0;
    for (std::size_t at = 6 + 8 * index; at < 14 + 8 * index; ++at) {
      char c = held_[at];
      std::uint32_t digit;
      if (c >= '0' && c <= '9')
        digit = static_cast<std::uint32_t>(c - '0');
      else if (c >= 'a' && c <= 'f')
        digit = static_cast<std::uint32_t>(c - 'a' + 10);
      else if (c >= 'A' && c <= 'F')
        digit = static_cast<std::uint32_t>(c - 'A' + 10);
      else
        refuse("a header of its cpio archive is not valid");
      value = value << 4 | digit;
    }
    return value;
  };
  entry_ = {};
  entry_.mode = number(1);
  entry_.link_count = number(4);
  entry_.size = number(6);
  name_size_ = number(11);
  if (name_size_ == 0 || name_size_ > kLongestName) refuse("a name in its cpio archive is too long");
  // Header and name together are padded.
  left_ = padded(kHeaderSize + name_size_) - kHeaderSize;
  held_.clear();
  state_ = State::kName;
}

void CpioReader::read_name() {
  std::string_view name(held_.data(), name_size_);
  name = name.substr(0, name.find('\0'));
  bool trailer = name == kTrailer;
  while (name.starts_with("/") || name.starts_with("./")) name.remove_prefix(name.front() == '/' ? 1 : 2);
  entry_.name = name == "." ? "" : name;
  held_.clear();
  if (trailer) {
    saw_trailer_ = true;
    state_ = State::kHeader;
    return;
  }
  bool is_link = S_ISLNK(entry_.mode);
  keep_ = is_link ? kLongestName : wanted_(entry_);
  keep_ = static_cast<std::size_t>(std::min<std::uint64_t>(keep_, entry_.size));
  entry_.content.reserve(keep_);
  left_ = entry_.size;
  state_ = State::kContent;
}

void CpioReader::end_entry() {
  left_ = padded(entry_.size) - entry_.size;
  state_ = State::kPadding;
  take_(std::move(entry_));
}

std::size_t CpioReader::feed(std::span<const std::byte> piece) {
  std::size_t used = 0;
  auto text = [&piece, &used](std::size_t count) {
    return std::string_view(reinterpret_cast<const char*>(piece.data()) + used, count);
  };
  while (true) {
    switch (state_) {
      case State::kHeader: {
        if (saw_trailer_) return used;
        if (used == piece.size()) return used;
        std::size_t count = std::min(kHeaderSize - held_.size(), piece.size() - used);
        held_ += text(count);
        used += count;
        if (held_.size() == kHeaderSize) read_header();
        break;
      }
      case State::kName: {
        std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(left_, piece.size() - used));
        held_ += text(count);
        used += count;
        left_ -= count;
        if (left_ > 0) return used;
        read_name();
        break;
      }
      case State::kContent: {
        std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(left_, piece.size() - used));
        if (entry_.content.size() < keep_)
          entry_.content += text(std::min(count, keep_ - entry_.content.size()));
        used += count;
        left_ -= count;
        if (left_ > 0) return used;
        end_entry();
        break;
      }
      case State::kPadding: {
        std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(left_, piece.size() - used));
        used += count;
        left_ -= count;
        if (left_ > 0) return used;
        state_ = State::kHeader;
        break;
      }
    }
  }
}

void CpioWriter::add(std::string_view path, std::uint32_t mode, std::string_view content) {
  char header[kHeaderSize + 1];
  std::snprintf(header, sizeof header, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
                next_inode_++, mode, 0u, 0u, S_ISDIR(mode) ? 2u : 1u, 0u,
                static_cast<unsigned>(content.size()), 0u, 0u, 0u, 0u, static_cast<unsigned>(path.size() + 1),
                0u);
  bytes_ += header;
  bytes_ += path;
  bytes_ += '\0';
  bytes_.resize(padded(bytes_.size()));
  bytes_ += content;
  bytes_.resize(padded(bytes_.size()));
}

void CpioWriter::add_directory(std::string_view path, std::uint32_t mode) { add(path, S_IFDIR | mode, ""); }

void CpioWriter::add_file(std::string_view path, std::string_view content, std::uint32_t mode) {
  add(path, S_IFREG | mode, content);
}

void CpioWriter::add_directories_above(std::string_view path, std::set<std::string>& known) {
  for (std::size_t slash = path.find('/'); slash != std::string_view::npos;
       slash = path.find('/', slash + 1)) {
    std::string directory(path.substr(0, slash));
    if (known.insert(directory).second) add_directory(directory);
  }
}

std::string CpioWriter::finish() {
  add(kTrailer, 0, "");
  return std::move(bytes_);
}

}  // namespace hyper2kvm::guest
