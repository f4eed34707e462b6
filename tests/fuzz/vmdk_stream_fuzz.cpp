// The streamOptimized reader: header, footer, markers in windows of odd sizes, grains, tables.
#include <algorithm>

#include "runner/image/grain_stream.h"
#include "runner/image/zlib_batch.h"
#include "tests/fuzz/fuzz_input.h"

using namespace hyper2kvm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> file = fuzz::bytes_of(data, size);
  auto read = [&](std::uint64_t offset, std::span<std::byte> bytes) {
    if (offset > file.size() || bytes.size() > file.size() - offset)
      throw os::Error(os::ErrorKind::kInvalid, "fuzz", "ends too early");
    std::copy_n(file.begin() + static_cast<std::ptrdiff_t>(offset), bytes.size(), bytes.begin());
  };
  fuzz::expect_error_or_success([&] {
    const image::StreamLayout layout = image::read_stream_layout(read, file.size(), "fuzz");
    if (!layout.header.is_stream_optimized()) return;
    image::GrainStream stream(layout, "fuzz");
    image::ZlibBatch batch;
    std::vector<std::span<const std::byte>> streams;
    // As the copy does it: what one window leaves over comes again at the front of the next.
    std::size_t begin = 0;
    for (std::size_t end = 0; end < file.size();) {
      end = std::min(file.size(), end + 1000 + size % 5000);
      std::vector<image::Grain> grains;
      begin += stream.parse(file.subspan(begin, end - begin), grains);
      if (end - begin >= image::kLargestGrainRecord) __builtin_trap();
      streams.clear();
      for (const image::Grain& grain : grains) {
        if (grain.number >= layout.grains()) __builtin_trap();
        streams.push_back(grain.zlib);
      }
      batch.inflate(streams, [](std::size_t, std::span<const std::byte>) {});
    }
    stream.end();
    image::verify_grain_tables(layout, stream.ledger(), read, "fuzz", {});
  });
  return 0;
}
