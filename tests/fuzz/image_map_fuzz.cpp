// The headers and maps of every format that is read block by block. The first byte chooses the format, so
// that one corpus serves them all; what opens is walked to its end, or for a bounded number of steps.
#include <algorithm>
#include <vector>

#include "runner/image/block_source.h"
#include "runner/image/source.h"
#include "tests/fuzz/fuzz_input.h"

using namespace hyper2kvm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  constexpr contract::SourceFormat kFormats[] = {
      contract::SourceFormat::kVmdk, contract::SourceFormat::kQcow2, contract::SourceFormat::kVhd,
      contract::SourceFormat::kVhdx, contract::SourceFormat::kVdi,   contract::SourceFormat::kRaw};
  const contract::SourceFormat format = kFormats[data[0] % std::size(kFormats)];
  const fuzz::MemoryFile file(fuzz::bytes_of(data + 1, size - 1));
  const image::ImageLocation location{file.path(), 0, size - 1, "fuzz"};
  fuzz::expect_error_or_success([&] { (void)image::detect_format(location); });
  fuzz::expect_error_or_success([&] {
    const image::SourceImage source = image::open_source(location, format, "fuzz");
    if (source.layout != image::Layout::kMapped && source.layout != image::Layout::kFlat) return;
    auto blocks = image::open_file_source(source, 1, {});
    std::vector<std::byte> buffer(64 * 1024);
    std::uint64_t offset = 0;
    for (int step = 0; step < 200; ++step) {
      const os::File::Range range = blocks->next_data(offset);
      if (range.length == 0) return;
      if (range.offset < offset || range.length > source.virtual_size - range.offset) __builtin_trap();
      const std::size_t part = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), range.length));
      blocks->read(0, range.offset, std::span(buffer).first(part));
      offset = range.offset + part;
    }
  });
  return 0;
}
