// Raw: a byte of the disk is the same byte of the file, and what is not written is a hole.
//
// A block device holds whatever was on it before, so there the gaps between the pieces are zeroed as they are
// passed; a piece that comes late, into a gap, is written after that. It cannot get its name when it is
// complete, as a file does. Instead its first MiB, where boot sector, partition table or the signature of a
// file system are, is zeroed before anything else and written after everything else: until then, and after
// whatever ended the copy, there is nothing on it that anybody would mount or boot.
#include <algorithm>
#include <vector>

#include "runner/image/conversion.h"
#include "runner/image/edge.h"
#include "runner/image/target.h"
#include "runner/image/zeroes.h"
#include "runner/os/error.h"

namespace hyper2kvm::image {
namespace {

constexpr std::size_t kHeadSize = 1u << 20;
// A device without a command for zeroes is written to, which takes its time.
constexpr std::uint64_t kZeroStep = 32u << 20;

class RawTarget : public Target {
 public:
  RawTarget(const std::filesystem::path& path, std::uint64_t virtual_size) : Target(path, virtual_size) {
    if (!file_.is_block_device()) {
      file_.truncate(virtual_size);
      return;
    }
    if (file_.size() < virtual_size)
      throw os::Error(os::ErrorKind::kInvalid, path.string(),
                      "is a device of " + std::to_string(file_.size()) + " bytes, and the disk has " +
                          std::to_string(virtual_size),
                      "Use a larger device.");
    head_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kHeadSize, virtual_size)));
    file_.zero_at(0, head_.size());
    file_.sync();
    passed_ = head_.size();
  }

  void place(std::span<const Piece> pieces, std::vector<Placed>& placed) override {
    for (const Piece& piece : pieces) {
      if (piece.encoding != Piece::Encoding::kPlain)
        throw os::Error(os::ErrorKind::kInternal, file_.path().string(),
                        "compressed data were meant for a raw image");
      std::span<const std::byte> bytes = clip(piece.guest_offset, piece.bytes);
      const std::uint64_t offset = keep_head(piece.guest_offset, bytes);
      if (bytes.empty()) continue;
      if (file_.is_block_device()) {
        zero_up_to(offset);
        passed_ = std::max(passed_, offset + bytes.size());
      }
      placed.push_back(Placed{offset, bytes});
    }
  }

  void overwrite(std::uint64_t guest_offset, std::span<const std::byte> bytes) override {
    bytes = clip(guest_offset, bytes);
    guest_offset = keep_head(guest_offset, bytes);
    if (bytes.empty()) return;
    if (is_zero(bytes))
      file_.zero_at(guest_offset, bytes.size());
    else
      file_.write_at(guest_offset, bytes);
  }

  void zero(std::uint64_t guest_offset, std::uint64_t length) override {
    if (guest_offset >= virtual_size_) return;
    const std::uint64_t end = guest_offset + std::min(length, virtual_size_ - guest_offset);
    for (; guest_offset < std::min<std::uint64_t>(end, head_.size()); ++guest_offset)
      head_[static_cast<std::size_t>(guest_offset)] = std::byte{0};
    if (guest_offset < end) file_.zero_at(guest_offset, end - guest_offset);
  }

  void flush() override {
    if (file_.is_block_device()) zero_up_to(virtual_size_);
    Target::flush();
  }

  std::uint64_t finish() override {
    if (!head_.empty()) {
      file_.sync();
      file_.write_at(0, head_);
    }
    return file_.finish();
  }

 private:
  void zero_up_to(std::uint64_t offset) {
    while (passed_ < offset) {
      stop_.throw_if_stopped();
      const std::uint64_t part = std::min(kZeroStep, offset - passed_);
      file_.zero_at(passed_, part);
      passed_ += part;
    }
  }

  // Takes what belongs into the head out of bytes; returns where the rest begins.
  std::uint64_t keep_head(std::uint64_t offset, std::span<const std::byte>& bytes) {
    if (offset >= head_.size()) return offset;
    const std::size_t part = std::min(bytes.size(), head_.size() - static_cast<std::size_t>(offset));
    std::copy_n(bytes.begin(), part, head_.begin() + static_cast<std::ptrdiff_t>(offset));
    bytes = bytes.subspan(part);
    return offset + part;
  }

  // The last cluster of a disk may be longer than the disk.
  std::span<const std::byte> clip(std::uint64_t guest_offset, std::span<const std::byte> bytes) const {
    if (guest_offset >= virtual_size_)
      throw os::Error(os::ErrorKind::kInvalid, file_.path().string(), "data past the end of the disk");
    return bytes.first(
        static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), virtual_size_ - guest_offset)));
  }

  std::vector<std::byte> head_;  // of a block device; empty for a file
  std::uint64_t passed_ = 0;     // on a block device: all before it is written, zeroed or kept in head_
};

}  // namespace

std::unique_ptr<Target> create_raw_target(const std::filesystem::path& path, std::uint64_t virtual_size) {
  return std::make_unique<RawTarget>(path, virtual_size);
}

void erase_head(const std::filesystem::path& device) {
  at_edge(device.string(), [&] {
    os::File file = os::File::open(device, os::File::Mode::kDevice);
    file.zero_at(0, std::min<std::uint64_t>(kHeadSize, file.size()));
    file.sync();
  });
}

}  // namespace hyper2kvm::image
