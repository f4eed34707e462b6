// Decompression of what Linux kernels and their modules are packed with, one stream at a time and in bounded
// memory.
//
// Formats and their magic numbers are those of the kernel's lib/decompress.c: gzip, xz, lzma, zstd, bzip2 and
// lz4 in its "legacy" form. Throws os::Error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "runner/os/error.h"

namespace hyper2kvm::guest {

enum class Compression { kNone, kGzip, kXz, kLzma, kZstd, kBzip2, kLz4, kLzo };

std::string_view to_string(Compression compression);
// From at least the first 6 bytes; kNone where no magic number is known.
Compression detect_compression(std::string_view beginning);

// Reads up to buffer.size() bytes at an offset; fewer only at the end.
using ReadAt = std::function<std::size_t(std::uint64_t offset, std::span<std::byte> buffer)>;
// Takes a piece of what came out; false ends the decompression early.
using TakePiece = std::function<bool(std::span<const std::byte> piece)>;

// Decompresses the one stream that begins at offset and returns the offset of the byte after it (where take
// ended it early: any offset). name is for messages. More than output_limit bytes are refused.
std::uint64_t decompress_stream(Compression compression, const ReadAt& read, std::uint64_t offset,
                                const TakePiece& take, std::uint64_t output_limit, const std::string& name);

// The whole of a small compressed file (a kernel module).
std::string decompress(Compression compression, std::string_view bytes, std::uint64_t output_limit,
                       const std::string& name);

// The sentence about a stream that cannot be unpacked.
os::Error damaged_stream(const std::string& name, Compression compression, const std::string& what);

}  // namespace hyper2kvm::guest
