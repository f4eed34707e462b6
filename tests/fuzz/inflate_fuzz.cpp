// The inflater for grains beside libdeflate: what it takes, libdeflate takes too, with the same contents.
//
// An input is two streams that are inflated at the same time. Its first two bytes say where the second
// begins.
#include <algorithm>
#include <array>
#include <vector>

#include "runner/image/deflate.h"
#include "runner/image/inflate_pair.h"
#include "tests/fuzz/fuzz_input.h"

using namespace hyper2kvm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::span<const std::byte> all = fuzz::bytes_of(data + 2, size - 2);
  const std::size_t first = std::min<std::size_t>(data[0] | data[1] << 8, all.size());
  const std::array<std::span<const std::byte>, 2> streams{all.first(first), all.subspan(first)};
  static image::InflatePair pair;
  static image::Inflater libdeflate;
  static std::vector<std::byte> expected(image::InflatePair::kLargest);
  int seen = 0;
  pair.inflate(streams, [&](std::size_t number, std::span<const std::byte> contents) {
    seen += 1 << number * 8;
    if (contents.empty()) return;
    std::size_t used = 0;
    const std::size_t length = libdeflate.inflate_raw(streams[number], expected, used);
    if (used != streams[number].size() || !std::ranges::equal(contents, std::span(expected).first(length)))
      __builtin_trap();
  });
  if (seen != 0x0101) __builtin_trap();
  return 0;
}
