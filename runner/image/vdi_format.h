// Numbers of the VDI format that reader and writer share. Source: VirtualBox's VDICore.h, as QEMU's
// block/vdi.c documents it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hyper2kvm::image::vdi {

constexpr std::uint32_t kSignature = 0xbeda107f;
constexpr std::uint32_t kVersion = 0x00010001;  // 1.1
constexpr std::uint32_t kDynamic = 1;
constexpr std::uint32_t kFixed = 2;
constexpr std::uint32_t kDifference = 4;
constexpr std::size_t kHeaderSize = 512;
constexpr std::uint32_t kSectorSize = 512;
constexpr std::uint64_t kBlockSize = 1u << 20;
// Entries of the block map that are no places in the file.
constexpr std::uint32_t kUnallocated = 0xffffffff;
constexpr std::uint32_t kDiscarded = 0xfffffffe;

}  // namespace hyper2kvm::image::vdi
