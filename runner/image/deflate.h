// zlib and raw deflate streams of one grain or cluster, by libdeflate: whole buffers, a multiple of zlib's
// speed.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

struct libdeflate_compressor;
struct libdeflate_decompressor;

namespace hyper2kvm::image {

// One thread uses one Inflater.
class Inflater {
 public:
  Inflater();
  // Inflates a zlib stream and compares its Adler-32. Returns the bytes that it holds, or nothing (size 0)
  // where it is damaged or holds more than output.
  std::size_t inflate_zlib(std::span<const std::byte> stream, std::span<std::byte> output);
  // The same for a raw deflate stream that may have other bytes behind it; used is its own length.
  std::size_t inflate_raw(std::span<const std::byte> stream, std::span<std::byte> output, std::size_t& used);

 private:
  struct Free {
    void operator()(libdeflate_decompressor* decompressor) const;
  };
  std::unique_ptr<libdeflate_decompressor, Free> decompressor_;
};

// One thread uses one Deflater.
class Deflater {
 public:
  // level: 1 (fast) to 12 (small).
  explicit Deflater(int level);
  // Makes a raw deflate stream. Returns its size, or 0 where it does not fit into output.
  std::size_t deflate_raw(std::span<const std::byte> data, std::span<std::byte> output);

 private:
  struct Free {
    void operator()(libdeflate_compressor* compressor) const;
  };
  std::unique_ptr<libdeflate_compressor, Free> compressor_;
};

// The raw deflate inside a zlib stream: without the 2 bytes before it and the 4 behind. Empty where the
// header is none that a grain may have (RFC 1950: deflate, a window of at most 32 KiB, no preset dictionary).
std::span<const std::byte> deflate_part(std::span<const std::byte> zlib);
// Whether contents are what the checksum at the end of such a stream was made of.
bool matches_adler32(std::span<const std::byte> zlib, std::span<const std::byte> contents);

}  // namespace hyper2kvm::image
