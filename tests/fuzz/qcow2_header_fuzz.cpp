// The header of a qcow2 image and its extensions: whatever parses is within its bounds.
#include <algorithm>

#include "runner/image/qcow2_header.h"
#include "tests/fuzz/fuzz_input.h"

using namespace hyper2kvm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // Behind the header there may be any number of bytes: the last eight say how many.
  if (size < 8) return 0;
  std::uint64_t more = 0;
  for (std::size_t i = 0; i < 8; ++i) more = more << 8 | data[size - 8 + i];
  const std::span<const std::byte> file = fuzz::bytes_of(data, size - 8);
  const std::uint64_t length = file.size() + more % (std::uint64_t{1} << 50);
  const std::span<const std::byte> window = file.first(std::min(file.size(), image::kQcow2HeaderWindow));
  (void)image::has_qcow2_magic(window);
  fuzz::expect_error_or_success([&] {
    const image::Qcow2Header header = image::parse_qcow2_header(window, length, "fuzz");
    const std::uint64_t l1_bytes = std::uint64_t{header.l1_size} * 8;
    const bool inside =
        header.l1_size == 0 || (header.l1_offset <= length && l1_bytes <= length - header.l1_offset);
    if (!inside || l1_bytes > (32u << 20) || header.cluster_bits < 9 || header.cluster_bits > 21)
      __builtin_trap();
    for (const std::string& name : {header.backing_file, header.backing_format, header.data_file})
      if (name.size() > window.size()) __builtin_trap();
  });
  return 0;
}
