#include "runner/image/deflate.h"

#include <libdeflate.h>

#include <new>

#include "runner/image/byte_order.h"

namespace hyper2kvm::image {

void Inflater::Free::operator()(libdeflate_decompressor* decompressor) const {
  libdeflate_free_decompressor(decompressor);
}

Inflater::Inflater() : decompressor_(libdeflate_alloc_decompressor()) {
  if (!decompressor_) throw std::bad_alloc();
}

std::size_t Inflater::inflate_zlib(std::span<const std::byte> stream, std::span<std::byte> output) {
  std::size_t size = 0;
  auto result = libdeflate_zlib_decompress(decompressor_.get(), stream.data(), stream.size(), output.data(),
                                           output.size(), &size);
  return result == LIBDEFLATE_SUCCESS ? size : 0;
}

std::size_t Inflater::inflate_raw(std::span<const std::byte> stream, std::span<std::byte> output,
                                  std::size_t& used) {
  std::size_t size = 0;
  auto result = libdeflate_deflate_decompress_ex(decompressor_.get(), stream.data(), stream.size(),
                                                 output.data(), output.size(), &used, &size);
  return result == LIBDEFLATE_SUCCESS ? size : 0;
}

void Deflater::Free::operator()(libdeflate_compressor* compressor) const {
  libdeflate_free_compressor(compressor);
}

Deflater::Deflater(int level) : compressor_(libdeflate_alloc_compressor(level)) {
  if (!compressor_) throw std::bad_alloc();
}

std::size_t Deflater::deflate_raw(std::span<const std::byte> data, std::span<std::byte> output) {
  return libdeflate_deflate_compress(compressor_.get(), data.data(), data.size(), output.data(),
                                     output.size());
}

std::span<const std::byte> deflate_part(std::span<const std::byte> zlib) {
  if (zlib.size() < 7) return {};
  unsigned method = std::to_integer<unsigned>(zlib[0]);
  unsigned flags = std::to_integer<unsigned>(zlib[1]);
  bool usual =
      (method & 0x0f) == 8 && (method >> 4) <= 7 && (method * 256 + flags) % 31 == 0 && (flags & 0x20) == 0;
  if (!usual) return {};
  return zlib.subspan(2, zlib.size() - 6);
}

bool matches_adler32(std::span<const std::byte> zlib, std::span<const std::byte> contents) {
  return load_big<std::uint32_t>(zlib, zlib.size() - 4) ==
         libdeflate_adler32(1, contents.data(), contents.size());
}

}  // namespace hyper2kvm::image
