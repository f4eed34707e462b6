// Numbers of the qcow2 format that reader and writer share. Source: docs/interop/qcow2.txt of QEMU 7.2.
#pragma once

#include <cstdint>

namespace hyper2kvm::image::qcow2 {

constexpr std::uint32_t kMagic = 0x514649fb;  // "QFI\xfb"
constexpr std::uint64_t kCopied = std::uint64_t{1} << 63;
constexpr std::uint64_t kCompressed = std::uint64_t{1} << 62;
constexpr std::uint64_t kZero = 1;                            // version 3, plain entries only
constexpr std::uint64_t kOffsetMask = 0x00fffffffffffe00ull;  // of L1 and plain L2 entries
constexpr std::uint64_t kIncompatibleDirty = 1;
constexpr std::uint64_t kIncompatibleCorrupt = 2;
constexpr std::uint64_t kIncompatibleDataFile = 4;
constexpr std::uint64_t kIncompatibleCompression = 8;
constexpr std::uint64_t kIncompatibleExtendedL2 = 16;
constexpr std::uint32_t kHeaderSizeVersion2 = 72;
constexpr std::uint32_t kHeaderSizeVersion3 = 104;
constexpr std::uint8_t kCompressionDeflate = 0;
constexpr std::uint8_t kCompressionZstd = 1;

}  // namespace hyper2kvm::image::qcow2
