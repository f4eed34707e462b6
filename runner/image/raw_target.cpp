// Raw: a byte of the disk is the same byte of the file, and what is not written is a hole.
//
// A block device holds whatever was on it before, so there the gaps between the pieces are zeroed as they are
// passed; a piece that comes late, into a gap, is written after that.
#include <algorithm>

#include "runner/image/deflate.h"
#include "runner/image/target.h"
#include "runner/os/error.h"

namespace hyper2kvm::image {
namespace {

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
  }

  void place(std::span<const Piece> pieces, std::vector<Placed>& placed) override {
    for (const Piece& piece : pieces) {
      if (piece.encoding != Piece::Encoding::kPlain)
        throw os::Error(os::ErrorKind::kInternal, file_.path().string(),
                        "compressed data were meant for a raw image");
      const std::span<const std::byte> bytes = clip(piece.guest_offset, piece.bytes);
      if (file_.is_block_device()) {
        zero_up_to(piece.guest_offset);
        passed_ = std::max(passed_, piece.guest_offset + bytes.size());
      }
      placed.push_back(Placed{piece.guest_offset, bytes});
    }
  }

  void overwrite(std::uint64_t guest_offset, std::span<const std::byte> bytes) override {
    bytes = clip(guest_offset, bytes);
    if (is_zero(bytes))
      file_.zero_at(guest_offset, bytes.size());
    else
      file_.write_at(guest_offset, bytes);
  }

  void zero(std::uint64_t guest_offset, std::uint64_t length) override {
    if (guest_offset < virtual_size_)
      file_.zero_at(guest_offset, std::min(length, virtual_size_ - guest_offset));
  }

  void flush() override {
    if (file_.is_block_device()) zero_up_to(virtual_size_);
    Target::flush();
  }

  std::uint64_t finish() override { return file_.finish(); }

 private:
  void zero_up_to(std::uint64_t offset) {
    if (offset <= passed_) return;
    file_.zero_at(passed_, offset - passed_);
    passed_ = offset;
  }

  // The last cluster of a disk may be longer than the disk.
  std::span<const std::byte> clip(std::uint64_t guest_offset, std::span<const std::byte> bytes) const {
    if (guest_offset >= virtual_size_)
      throw os::Error(os::ErrorKind::kInvalid, file_.path().string(), "data past the end of the disk");
    return bytes.first(
        static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), virtual_size_ - guest_offset)));
  }

  std::uint64_t passed_ = 0;  // on a block device: all before it is written or zeroed
};

}  // namespace

std::unique_ptr<Target> create_raw_target(const std::filesystem::path& path, std::uint64_t virtual_size) {
  return std::make_unique<RawTarget>(path, virtual_size);
}

}  // namespace hyper2kvm::image
