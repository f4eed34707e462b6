#include "runner/guest/initramfs/lz4_legacy.h"

#include <lz4.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "runner/guest/little_endian.h"
#include "runner/os/error.h"

namespace hyper2kvm::guest {
namespace {

constexpr std::uint32_t kMagic = 0x184c2102;
constexpr std::size_t kBlock = std::size_t{8} << 20;
constexpr std::size_t kInputSize = std::size_t{128} << 10;
// A match reaches back 65,535 bytes at most. What is older is handed out and forgotten.
constexpr std::size_t kHistory = std::size_t{64} << 10;
constexpr std::size_t kWindow = kHistory + (std::size_t{128} << 10);
constexpr std::size_t kShortestMatch = 4;
// How near its end a block may still have a match; lz4_Block_format.md, "End of block conditions".
constexpr std::size_t kLastLiterals = 5;
constexpr std::size_t kMatchMargin = 12;

class Unpacker {
 public:
  Unpacker(const ReadAt& read, std::uint64_t offset, const TakePiece& take, std::uint64_t output_limit,
           const std::string& name)
      : read_(read),
        take_(take),
        output_limit_(output_limit),
        name_(name),
        next_read_(offset),
        input_(kInputSize),
        window_(kWindow) {}

  std::uint64_t run();

 private:
  std::uint64_t offset() const { return next_read_ - static_cast<std::uint64_t>(input_end_ - input_at_); }
  [[noreturn]] void refuse(const char* what) const { throw damaged_stream(name_, Compression::kLz4, what); }
  void require(bool valid) const {
    if (!valid) refuse("a block is not valid");
  }

  // The file. At least count bytes (a few) lie ahead afterwards, if it has so many.
  bool fill(std::size_t count);
  // The block. Never more than it has left.
  std::size_t byte();
  std::size_t length(std::size_t beginning);

  // One block of packed_left_ bytes.
  void unpack_block();
  void copy_literals(std::size_t count);
  void copy_match(std::size_t distance, std::size_t count);
  std::size_t room();
  void hand_out();

  const ReadAt& read_;
  const TakePiece& take_;
  const std::uint64_t output_limit_;
  const std::string& name_;

  std::uint64_t next_read_;
  std::vector<std::byte> input_;
  std::size_t input_at_ = 0;
  std::size_t input_end_ = 0;
  std::size_t packed_left_ = 0;

  std::vector<std::byte> window_;
  std::size_t at_ = 0;        // where the next byte goes
  std::size_t taken_ = 0;     // up to where the window has been handed out
  std::size_t in_block_ = 0;  // unpacked of this block: as far as a match may reach back
  std::uint64_t total_ = 0;
  bool wanted_ = true;
};

bool Unpacker::fill(std::size_t count) {
  if (input_end_ - input_at_ >= count) return true;
  std::memmove(input_.data(), input_.data() + input_at_, input_end_ - input_at_);
  input_end_ -= input_at_;
  input_at_ = 0;
  std::size_t got = read_(next_read_, std::span(input_).subspan(input_end_));
  next_read_ += got;
  input_end_ += got;
  return input_end_ >= count;
}

std::size_t Unpacker::byte() {
  require(packed_left_ > 0);
  if (input_at_ == input_end_ && !fill(1)) refuse("its last block is cut off");
  --packed_left_;
  return std::to_integer<std::size_t>(input_[input_at_++]);
}

std::size_t Unpacker::length(std::size_t beginning) {
  if (beginning < 15) return beginning;
  std::size_t result = beginning;
  while (true) {
    std::size_t more = byte();
    result += more;
    require(result <= kBlock);
    if (more < 255) return result;
  }
}

void Unpacker::hand_out() {
  total_ += at_ - taken_;
  if (total_ > output_limit_) refuse("it unpacks to more than can be right");
  if (at_ > taken_ && wanted_) wanted_ = take_(std::span(window_).subspan(taken_, at_ - taken_));
  taken_ = at_;
}

std::size_t Unpacker::room() {
  if (at_ == window_.size()) {
    hand_out();
    std::memcpy(window_.data(), window_.data() + at_ - kHistory, kHistory);
    at_ = taken_ = kHistory;
  }
  return window_.size() - at_;
}

void Unpacker::copy_literals(std::size_t count) {
  require(count <= packed_left_ && count <= kBlock - in_block_);
  packed_left_ -= count;
  in_block_ += count;
  while (count > 0) {
    if (!fill(1)) refuse("its last block is cut off");
    std::size_t piece = std::min({count, room(), input_end_ - input_at_});
    std::memcpy(window_.data() + at_, input_.data() + input_at_, piece);
    at_ += piece;
    input_at_ += piece;
    count -= piece;
  }
}

// A match that reaches into itself repeats what it has just made.
void Unpacker::copy_match(std::size_t distance, std::size_t count) {
  require(distance > 0 && distance <= in_block_ && count + kLastLiterals <= kBlock - in_block_);
  in_block_ += count;
  while (count > 0) {
    std::size_t piece = std::min(count, room());
    std::byte* to = window_.data() + at_;
    const std::byte* from = to - distance;
    at_ += piece;
    count -= piece;
    if (distance >= piece)
      std::memcpy(to, from, piece);
    else
      for (; piece > 0; --piece) *to++ = *from++;
  }
}

void Unpacker::unpack_block() {
  in_block_ = 0;
  while (wanted_) {
    std::size_t token = byte();
    copy_literals(length(token >> 4));
    if (packed_left_ == 0) return;
    // After a match come a token and the last literals.
    require(packed_left_ > 2 + kLastLiterals && in_block_ + kMatchMargin <= kBlock);
    std::size_t distance = byte();
    distance |= byte() << 8;
    std::size_t count = length(token & 15) + kShortestMatch;
    require(packed_left_ > kLastLiterals);
    copy_match(distance, count);
  }
}

// The form has no end mark: it ends with the file, or with what can be no block's size (the zeros between two
// archives). A magic number begins the next stream.
std::uint64_t Unpacker::run() {
  while (wanted_ && fill(4)) {
    std::uint32_t word = load_little(input_, input_at_);
    if (word != kMagic && (word == 0 || word > static_cast<std::uint32_t>(LZ4_COMPRESSBOUND(kBlock)))) break;
    input_at_ += 4;
    if (word == kMagic) continue;
    packed_left_ = word;
    unpack_block();
  }
  hand_out();
  return offset();
}

}  // namespace

std::uint64_t decompress_lz4_legacy(const ReadAt& read, std::uint64_t offset, const TakePiece& take,
                                    std::uint64_t output_limit, const std::string& name) {
  return Unpacker(read, offset, take, output_limit, name).run();
}

std::string compress_lz4_legacy(std::string_view bytes) {
  std::string result("\x02\x21\x4c\x18", 4);
  std::vector<char> packed(
      static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(std::min(bytes.size(), kBlock)))));
  while (!bytes.empty()) {
    std::string_view block = bytes.substr(0, kBlock);
    bytes.remove_prefix(block.size());
    int size = LZ4_compress_default(block.data(), packed.data(), static_cast<int>(block.size()),
                                    static_cast<int>(packed.size()));
    for (int shift = 0; shift < 32; shift += 8)
      result += static_cast<char>(static_cast<unsigned>(size) >> shift);
    result.append(packed.data(), static_cast<std::size_t>(size));
  }
  return result;
}

}  // namespace hyper2kvm::guest
