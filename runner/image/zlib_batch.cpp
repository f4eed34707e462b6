#include "runner/image/zlib_batch.h"

namespace hyper2kvm::image {

void ZlibBatch::inflate(std::span<const std::span<const std::byte>> streams, const Inflated& inflated) {
  parts_.clear();
  for (std::span<const std::byte> stream : streams) parts_.push_back(deflate_part(stream));
  pair_.inflate(parts_, [&](std::size_t number, std::span<const std::byte> contents) {
    const std::span<const std::byte> stream = streams[number];
    if (!contents.empty() && matches_adler32(stream, contents)) return inflated(number, contents);
    const std::size_t size = inflater_.inflate_zlib(stream, contents_);
    inflated(number, std::span(contents_).first(size));
  });
}

}  // namespace hyper2kvm::image
