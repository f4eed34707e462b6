// The headers of a VHDX. They lie far apart in a file of at least 1 MiB and carry checksums, so the input
// holds only their first 4 KiB each, one after the other, and this puts them into place and makes the
// checksums right.
#include <algorithm>
#include <array>

#include "runner/image/byte_order.h"
#include "runner/image/vhdx_header.h"
#include "tests/fuzz/fuzz_input.h"

using namespace hyper2kvm;

namespace {

constexpr std::size_t kPart = 4096;
constexpr std::uint64_t kLength = 1u << 20;
struct Place {
  std::uint64_t file_offset;
  bool has_checksum;
};
// Header, region table, metadata table, metadata items.
constexpr std::array<Place, 4> kPlaces = {
    {{64 << 10, true}, {192 << 10, true}, {384 << 10, false}, {388 << 10, false}}};

std::uint32_t crc32c(std::span<const std::byte> bytes) {
  std::uint32_t crc = ~std::uint32_t{0};
  for (std::byte byte : bytes) {
    crc ^= std::to_integer<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
  }
  return ~crc;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> input = fuzz::bytes_of(data, size);
  auto read = [&](std::uint64_t offset, std::span<std::byte> bytes) {
    if (offset > kLength || bytes.size() > kLength - offset || bytes.size() > (64 << 10)) __builtin_trap();
    std::fill(bytes.begin(), bytes.end(), std::byte{0});
    for (std::size_t i = 0; i < kPlaces.size(); ++i) {
      const std::span<const std::byte> part =
          input.subspan(std::min(input.size(), i * kPart),
                        std::min(kPart, input.size() - std::min(input.size(), i * kPart)));
      for (std::size_t at = 0; at < part.size(); ++at)
        if (std::uint64_t where = kPlaces[i].file_offset + at;
            where >= offset && where < offset + bytes.size())
          bytes[where - offset] = part[at];
      if (!kPlaces[i].has_checksum || offset != kPlaces[i].file_offset || bytes.size() < kPart) continue;
      std::fill(bytes.begin() + 4, bytes.begin() + 8, std::byte{0});
      image::store_little<std::uint32_t>(bytes, 4, crc32c(bytes));
    }
  };
  fuzz::expect_error_or_success([&] {
    const image::VhdxHeader header = image::read_vhdx_header(read, kLength, "fuzz");
    if (header.virtual_size == 0 || header.block_size == 0 || header.table_offset > kLength) __builtin_trap();
  });
  return 0;
}
