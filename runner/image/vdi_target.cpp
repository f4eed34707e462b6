// VDI, dynamic: blocks of 1 MiB in the order in which they are first written; a piece is a part of its block,
// the rest of the block stays a hole of the file.
//
// The file is a header, the block map of 32-bit numbers, and the blocks; all numbers are little endian.
#include <algorithm>
#include <array>
#include <random>

#include "runner/image/byte_order.h"
#include "runner/image/target.h"
#include "runner/image/vdi_blocks.h"
#include "runner/image/vdi_format.h"
#include "runner/image/zeroes.h"
#include "runner/os/error.h"

namespace hyper2kvm::image {
namespace {

// The header says in 32 bits where the blocks begin, which is behind a map of 4 bytes a block.
constexpr std::uint64_t kMostBlocks = 0x3ff00000;

class VdiTarget : public Target {
 public:
  VdiTarget(const std::filesystem::path& path, std::uint64_t virtual_size)
      : Target(path, virtual_size),
        blocks_(file_, vdi::kHeaderSize, divide_up(virtual_size, vdi::kBlockSize)),
        data_offset_(round_up<std::uint64_t>(vdi::kHeaderSize + blocks_.count() * 4, vdi::kBlockSize)) {}

  void place(std::span<const Piece> pieces, std::vector<Placed>& placed) override {
    for (const Piece& piece : pieces) {
      if (piece.encoding != Piece::Encoding::kPlain)
        throw os::Error(os::ErrorKind::kInternal, file_.path().string(),
                        "compressed data were meant for a VDI image");
      if (piece.guest_offset >= virtual_size_)
        throw os::Error(os::ErrorKind::kInvalid, file_.path().string(), "data past the end of the disk");
      for_each_block(piece.guest_offset, piece.bytes.size(),
                     [&](std::uint64_t block, std::uint64_t in_block, std::size_t done, std::size_t part) {
                       std::uint32_t place = blocks_.at(block);
                       if (place == vdi::kUnallocated) blocks_.set(block, place = allocated_++);
                       placed.push_back(Placed{offset_of(place) + in_block, piece.bytes.subspan(done, part)});
                     });
    }
  }

  void overwrite(std::uint64_t guest_offset, std::span<const std::byte> bytes) override {
    if (is_zero(bytes)) {
      zero(guest_offset, bytes.size());
      return;
    }
    std::vector<Placed> placed;
    Piece piece{guest_offset, Piece::Encoding::kPlain, bytes};
    place(std::span(&piece, 1), placed);
    write(placed);
  }

  void zero(std::uint64_t guest_offset, std::uint64_t length) override {
    if (guest_offset >= virtual_size_) return;
    length = std::min(length, virtual_size_ - guest_offset);
    for_each_block(guest_offset, length,
                   [&](std::uint64_t block, std::uint64_t in_block, std::uint64_t, std::uint64_t part) {
                     const std::uint32_t place = blocks_.at(block);
                     if (place == vdi::kUnallocated) return;
                     std::uint64_t at = offset_of(place) + in_block;
                     std::uint64_t end = file_.size();
                     if (at < end) file_.zero_at(at, std::min(part, end - at));
                   });
  }

  std::uint64_t finish() override {
    blocks_.write_out();
    file_.truncate(data_offset_ + allocated_ * vdi::kBlockSize);
    write_header();
    return file_.finish();
  }

 private:
  template <typename Visit>
  static void for_each_block(std::uint64_t guest_offset, std::uint64_t length, Visit visit) {
    for (std::uint64_t done = 0; done < length;) {
      std::uint64_t in_block = (guest_offset + done) % vdi::kBlockSize;
      std::uint64_t part = std::min(vdi::kBlockSize - in_block, length - done);
      visit((guest_offset + done) / vdi::kBlockSize, in_block, done, part);
      done += part;
    }
  }

  std::uint64_t offset_of(std::uint32_t place) const {
    return data_offset_ + std::uint64_t{place} * vdi::kBlockSize;
  }

  void write_header() {
    std::array<std::byte, vdi::kHeaderSize> header{};
    constexpr std::string_view kText = "<<< Oracle VM VirtualBox Disk Image >>>\n";
    std::memcpy(header.data(), kText.data(), kText.size());
    store_little<std::uint32_t>(header, 64, vdi::kSignature);
    store_little<std::uint32_t>(header, 68, vdi::kVersion);
    store_little<std::uint32_t>(header, 72, 0x190);  // size of the header's own part
    store_little<std::uint32_t>(header, 76, vdi::kDynamic);
    store_little<std::uint32_t>(header, 340, vdi::kHeaderSize);
    store_little<std::uint32_t>(header, 344, static_cast<std::uint32_t>(data_offset_));
    store_little<std::uint32_t>(header, 360, vdi::kSectorSize);
    store_little<std::uint64_t>(header, 368, round_up<std::uint64_t>(virtual_size_, vdi::kSectorSize));
    store_little<std::uint32_t>(header, 376, vdi::kBlockSize);
    store_little<std::uint32_t>(header, 384, static_cast<std::uint32_t>(blocks_.count()));
    store_little<std::uint32_t>(header, 388, allocated_);
    // Two random UUIDs (version 4): of the image and of its last snapshot. No parent.
    std::random_device random;
    for (std::size_t at = 392; at < 424; at += 4) store_little<std::uint32_t>(header, at, random());
    for (std::size_t uuid : {std::size_t{392}, std::size_t{408}}) {
      header[uuid + 7] = (header[uuid + 7] & std::byte{0x0f}) | std::byte{0x40};
      header[uuid + 8] = (header[uuid + 8] & std::byte{0x3f}) | std::byte{0x80};
    }
    file_.write_at(0, header);
  }

  VdiBlocks blocks_;
  const std::uint64_t data_offset_;
  std::uint32_t allocated_ = 0;  // blocks, in the order in which they were first written
};

}  // namespace

std::unique_ptr<Target> create_vdi_target(const std::filesystem::path& path, std::uint64_t virtual_size) {
  if (virtual_size / vdi::kBlockSize >= kMostBlocks)
    throw os::Error(os::ErrorKind::kInvalid, path.string(),
                    "a VDI cannot hold a disk of " + std::to_string(virtual_size) + " bytes",
                    "Choose qcow2 or raw as the output format.");
  return std::make_unique<VdiTarget>(path, virtual_size);
}

}  // namespace hyper2kvm::image
