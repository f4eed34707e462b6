// lz4 as the kernel packs and unpacks an initramfs with it: the "legacy" form, a magic number and then blocks
// of at most 8 MiB, each after its size. Sources: lz4_Frame_format.md (Legacy frame), lz4_Block_format.md,
// the kernel's lib/decompress_unlz4.c.
//
// liblz4 unpacks a block only as a whole. Where memory that is touched for the first time is dear, as it is
// in the appliance, 16 MiB for two such blocks cost more than the unpacking itself; and nothing can be read
// ahead meanwhile. So blocks are unpacked here piece by piece, through a window of a few hundred KiB.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "runner/guest/initramfs/compression.h"

namespace hyper2kvm::guest {

// As decompress_stream does it, from the magic number at offset. Refuses every block that liblz4 refuses.
std::uint64_t decompress_lz4_legacy(const ReadAt& read, std::uint64_t offset, const TakePiece& take,
                                    std::uint64_t output_limit, const std::string& name);

// The kernel reads several streams of this form, one straight after the other, as one.
std::string compress_lz4_legacy(std::string_view bytes);

}  // namespace hyper2kvm::guest
