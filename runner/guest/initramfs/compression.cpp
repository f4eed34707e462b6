// Each format's library is driven in the same way: fill an input buffer, let it eat, hand out what came out,
// until it says that its stream has ended. What it did not eat tells where the stream ends in the file.
#include "runner/guest/initramfs/compression.h"

#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "runner/guest/initramfs/lz4_legacy.h"
#include "runner/os/error.h"

namespace hyper2kvm::guest {
namespace {

constexpr std::size_t kInputSize = std::size_t{256} << 10;
constexpr std::size_t kOutputSize = std::size_t{256} << 10;
// xz -9 needs 64 MiB to unpack; the kernel itself refuses dictionaries that are much larger.
constexpr std::uint64_t kMemoryLimit = std::uint64_t{128} << 20;

enum class State { kGoesOn, kEnded };

// One library's stream. step eats from the front of in (and moves it on) and fills out.
class Decoder {
 public:
  virtual ~Decoder() = default;
  // produced is how much of out was filled. Throws on damage. in may be empty at the end of the file.
  virtual State step(std::span<const std::byte>& in, std::span<std::byte> out, std::size_t& produced) = 0;
};

class GzipDecoder : public Decoder {
 public:
  explicit GzipDecoder(std::string name) : name_(std::move(name)) {
    if (inflateInit2(&stream_, 15 + 16) != Z_OK) throw std::bad_alloc();
  }
  ~GzipDecoder() override { inflateEnd(&stream_); }
  State step(std::span<const std::byte>& in, std::span<std::byte> out, std::size_t& produced) override {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in.data()));
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    int result = inflate(&stream_, Z_NO_FLUSH);
    produced = out.size() - stream_.avail_out;
    in = in.last(stream_.avail_in);
    if (result == Z_STREAM_END) return State::kEnded;
    if (result != Z_OK && result != Z_BUF_ERROR)
      throw damaged_stream(name_, Compression::kGzip,
                           stream_.msg != nullptr ? stream_.msg : "the data is not valid");
    return State::kGoesOn;
  }

 private:
  std::string name_;
  z_stream stream_{};
};

class LzmaDecoder : public Decoder {
 public:
  LzmaDecoder(std::string name, Compression compression) : name_(std::move(name)), compression_(compression) {
    lzma_ret result = compression == Compression::kXz ? lzma_stream_decoder(&stream_, kMemoryLimit, 0)
                                                      : lzma_alone_decoder(&stream_, kMemoryLimit);
    if (result != LZMA_OK) throw std::bad_alloc();
  }
  ~LzmaDecoder() override { lzma_end(&stream_); }
  State step(std::span<const std::byte>& in, std::span<std::byte> out, std::size_t& produced) override {
    stream_.next_in = reinterpret_cast<const std::uint8_t*>(in.data());
    stream_.avail_in = in.size();
    stream_.next_out = reinterpret_cast<std::uint8_t*>(out.data());
    stream_.avail_out = out.size();
    lzma_ret result = lzma_code(&stream_, LZMA_RUN);
    produced = out.size() - stream_.avail_out;
    in = in.last(stream_.avail_in);
    if (result == LZMA_STREAM_END) return State::kEnded;
    if (result == LZMA_MEMLIMIT_ERROR)
      throw damaged_stream(name_, compression_, "it needs too much memory to unpack");
    if (result != LZMA_OK && result != LZMA_BUF_ERROR)
      throw damaged_stream(name_, compression_, "the data is not valid");
    return State::kGoesOn;
  }

 private:
  std::string name_;
  Compression compression_;
  lzma_stream stream_ = LZMA_STREAM_INIT;
};

class ZstdDecoder : public Decoder {
 public:
  explicit ZstdDecoder(std::string name)
      : name_(std::move(name)), context_(ZSTD_createDCtx(), ZSTD_freeDCtx) {
    if (!context_) throw std::bad_alloc();
    // The kernel's own limit of a window.
    ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, 27);
  }
  State step(std::span<const std::byte>& in, std::span<std::byte> out, std::size_t& produced) override {
    ZSTD_inBuffer input{in.data(), in.size(), 0};
    ZSTD_outBuffer output{out.data(), out.size(), 0};
    std::size_t result = ZSTD_decompressStream(context_.get(), &output, &input);
    produced = output.pos;
    in = in.subspan(input.pos);
    if (ZSTD_isError(result)) throw damaged_stream(name_, Compression::kZstd, ZSTD_getErrorName(result));
    return result == 0 ? State::kEnded : State::kGoesOn;
  }

 private:
  std::string name_;
  std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context_;
};

class Bzip2Decoder : public Decoder {
 public:
  explicit Bzip2Decoder(std::string name) : name_(std::move(name)) {
    if (BZ2_bzDecompressInit(&stream_, 0, 0) != BZ_OK) throw std::bad_alloc();
  }
  ~Bzip2Decoder() override { BZ2_bzDecompressEnd(&stream_); }
  State step(std::span<const std::byte>& in, std::span<std::byte> out, std::size_t& produced) override {
    stream_.next_in = reinterpret_cast<char*>(const_cast<std::byte*>(in.data()));
    stream_.avail_in = static_cast<unsigned>(in.size());
    stream_.next_out = reinterpret_cast<char*>(out.data());
    stream_.avail_out = static_cast<unsigned>(out.size());
    int result = BZ2_bzDecompress(&stream_);
    produced = out.size() - stream_.avail_out;
    in = in.last(stream_.avail_in);
    if (result == BZ_STREAM_END) return State::kEnded;
    if (result != BZ_OK) throw damaged_stream(name_, Compression::kBzip2, "the data is not valid");
    return State::kGoesOn;
  }

 private:
  std::string name_;
  bz_stream stream_{};
};

std::unique_ptr<Decoder> make_decoder(Compression compression, const std::string& name) {
  switch (compression) {
    case Compression::kGzip:
      return std::make_unique<GzipDecoder>(name);
    case Compression::kXz:
    case Compression::kLzma:
      return std::make_unique<LzmaDecoder>(name, compression);
    case Compression::kZstd:
      return std::make_unique<ZstdDecoder>(name);
    case Compression::kBzip2:
      return std::make_unique<Bzip2Decoder>(name);
    default:
      throw os::Error(
          os::ErrorKind::kInvalid, name,
          "is packed with " + std::string(to_string(compression)) + ", which cannot be opened here",
          "Choose another compression for the initramfs in the source machine.");
  }
}

}  // namespace

os::Error damaged_stream(const std::string& name, Compression compression, const std::string& what) {
  return os::Error(
      os::ErrorKind::kInvalid, name, "is damaged: " + what + " (" + std::string(to_string(compression)) + ")",
      "Make it again in the source machine (update-initramfs, dracut or the like) and export that.");
}

std::string_view to_string(Compression compression) {
  switch (compression) {
    case Compression::kNone:
      return "none";
    case Compression::kGzip:
      return "gzip";
    case Compression::kXz:
      return "xz";
    case Compression::kLzma:
      return "lzma";
    case Compression::kZstd:
      return "zstd";
    case Compression::kBzip2:
      return "bzip2";
    case Compression::kLz4:
      return "lz4";
    case Compression::kLzo:
      return "lzo";
  }
  return "none";
}

Compression detect_compression(std::string_view beginning) {
  using namespace std::string_view_literals;
  if (beginning.starts_with("\x1f\x8b"sv)) return Compression::kGzip;
  if (beginning.starts_with("\xfd"
                            "7zXZ\0"sv))
    return Compression::kXz;
  if (beginning.starts_with("\x5d\0\0"sv)) return Compression::kLzma;
  if (beginning.starts_with("\x28\xb5\x2f\xfd"sv)) return Compression::kZstd;
  if (beginning.starts_with("BZh"sv)) return Compression::kBzip2;
  if (beginning.starts_with("\x02\x21\x4c\x18"sv)) return Compression::kLz4;
  if (beginning.starts_with("\x89LZO"sv)) return Compression::kLzo;
  return Compression::kNone;
}

std::uint64_t decompress_stream(Compression compression, const ReadAt& read, std::uint64_t offset,
                                const TakePiece& take, std::uint64_t output_limit, const std::string& name) {
  if (compression == Compression::kLz4) return decompress_lz4_legacy(read, offset, take, output_limit, name);
  std::unique_ptr<Decoder> decoder = make_decoder(compression, name);
  std::vector<std::byte> input(kInputSize);
  std::vector<std::byte> output(kOutputSize);
  std::uint64_t next_read = offset;
  std::uint64_t total = 0;
  bool at_end = false;
  std::span<const std::byte> unread;
  while (true) {
    if (unread.empty() && !at_end) {
      std::size_t got = read(next_read, input);
      next_read += got;
      at_end = got < input.size();
      unread = std::span<const std::byte>(input).first(got);
    }
    std::size_t before = unread.size();
    std::size_t produced = 0;
    State state = decoder->step(unread, output, produced);
    total += produced;
    if (total > output_limit) throw damaged_stream(name, compression, "it unpacks to more than can be right");
    if (produced > 0 && !take(std::span<const std::byte>(output).first(produced))) return next_read;
    if (state == State::kEnded) return next_read - unread.size();
    if (at_end && unread.empty() && produced == 0) throw damaged_stream(name, compression, "it is cut off");
    if (unread.size() == before && produced == 0 && !unread.empty())
      throw damaged_stream(name, compression, "the data is not valid");
  }
}

std::string decompress(Compression compression, std::string_view bytes, std::uint64_t output_limit,
                       const std::string& name) {
  if (compression == Compression::kNone) return std::string(bytes);
  std::string result;
  ReadAt read = [bytes](std::uint64_t offset, std::span<std::byte> buffer) {
    if (offset >= bytes.size()) return std::size_t{0};
    std::size_t count = std::min<std::size_t>(buffer.size(), bytes.size() - static_cast<std::size_t>(offset));
    std::memcpy(buffer.data(), bytes.data() + offset, count);
    return count;
  };
  decompress_stream(
      compression, read, 0,
      [&result](std::span<const std::byte> piece) {
        result.append(reinterpret_cast<const char*>(piece.data()), piece.size());
        return true;
      },
      output_limit, name);
  return result;
}

}  // namespace hyper2kvm::guest
