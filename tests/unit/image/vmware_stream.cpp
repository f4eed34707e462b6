#include "tests/unit/image/vmware_stream.h"

#include <libdeflate.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "runner/image/byte_order.h"
#include "runner/image/zeroes.h"

namespace hyper2kvm::image::testing {
namespace {

constexpr std::size_t kSector = 512;

void pad(std::vector<std::byte>& bytes) { bytes.resize(round_up<std::size_t>(bytes.size(), kSector)); }

void append_marker(std::vector<std::byte>& file, std::uint64_t value, std::uint32_t type) {
  std::size_t at = file.size();
  file.resize(at + kSector);
  store_little(std::span(file), at, value);
  store_little(std::span(file), at + 12, type);
}

std::vector<std::byte> header(const StreamMaker& maker, std::uint64_t directory) {
  std::vector<std::byte> bytes(kSector);
  std::span<std::byte> span(bytes);
  std::memcpy(bytes.data(), "KDMV", 4);
  store_little(span, 4, maker.version);
  store_little(span, 8, maker.flags);
  store_little(span, 12, maker.capacity_sectors);
  store_little(span, 20, maker.grain_sectors);
  store_little<std::uint64_t>(span, 28, 1);   // descriptor
  store_little<std::uint64_t>(span, 36, 20);  // its size
  store_little<std::uint32_t>(span, 44, 512);
  store_little(span, 56, directory);
  store_little(span, 64, maker.overhead_sectors);
  std::memcpy(bytes.data() + 73, "\n \r\n", 4);
  store_little(span, 77, maker.algorithm);
  return bytes;
}

}  // namespace

std::vector<std::byte> zlib_stream(std::span<const std::byte> data, int level) {
  libdeflate_compressor* compressor = libdeflate_alloc_compressor(level);
  std::vector<std::byte> stream(libdeflate_zlib_compress_bound(compressor, data.size()));
  stream.resize(libdeflate_zlib_compress(compressor, data.data(), data.size(), stream.data(), stream.size()));
  libdeflate_free_compressor(compressor);
  if (stream.empty()) throw std::logic_error("nothing compressed");
  return stream;
}

std::vector<std::byte> StreamMaker::make(std::span<const std::byte> data) const {
  std::vector<std::byte> file = header(*this, ~std::uint64_t{0});
  std::string descriptor =
      "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
      "createType=\"streamOptimized\"\n\nRDONLY " +
      std::to_string(capacity_sectors) + " SPARSE \"generated-stream.vmdk\"\n" + descriptor_extra;
  file.resize(overhead_sectors * kSector);
  std::memcpy(file.data() + kSector, descriptor.data(), descriptor.size());

  const std::size_t grain_size = grain_sectors * kSector;
  const std::uint64_t grains = divide_up<std::uint64_t>(data.size(), grain_size);
  std::vector<std::uint32_t> directory;
  for (std::uint64_t table = 0; table * 512 < grains; ++table) {
    std::vector<std::uint32_t> entries(512);
    bool any = false;
    for (std::uint64_t grain = table * 512; grain < std::min(grains, table * 512 + 512); ++grain) {
      auto bytes = data.subspan(grain * grain_size,
                                std::min<std::size_t>(grain_size, data.size() - grain * grain_size));
      if (is_zero(bytes)) continue;
      any = true;
      std::vector<std::byte> zlib = zlib_stream(bytes);
      if (bend_grain) bend_grain(grain, zlib);
      int times = std::count(twice.begin(), twice.end(), grain) > 0 ? 2 : 1;
      for (int time = 0; time < times; ++time) {
        entries[grain % 512] = static_cast<std::uint32_t>(file.size() / kSector);
        std::size_t at = file.size();
        file.resize(at + 12);
        auto moved = marker_sectors.find(grain);
        store_little<std::uint64_t>(std::span(file), at,
                                    moved != marker_sectors.end() ? moved->second : grain * grain_sectors);
        store_little<std::uint32_t>(std::span(file), at + 8, static_cast<std::uint32_t>(zlib.size()));
        file.insert(file.end(), zlib.begin(), zlib.end());
        pad(file);
      }
    }
    if (bend_table) bend_table(table, entries);
    if (!any) {
      directory.push_back(0);
      continue;
    }
    append_marker(file, 4, 1);
    directory.push_back(static_cast<std::uint32_t>(file.size() / kSector));
    std::size_t at = file.size();
    file.resize(at + 512 * 4);
    for (std::size_t i = 0; i < 512; ++i) store_little(std::span(file), at + i * 4, entries[i]);
  }
  if (bend_directory) bend_directory(directory);
  std::uint64_t directory_sectors = divide_up<std::uint64_t>(directory.size() * 4, kSector);
  append_marker(file, directory_sectors, 2);
  std::uint64_t directory_at = file.size() / kSector;
  std::size_t at = file.size();
  file.resize(at + directory_sectors * kSector);
  for (std::size_t i = 0; i < directory.size(); ++i) store_little(std::span(file), at + i * 4, directory[i]);
  if (footer) {
    append_marker(file, 1, 3);
    std::vector<std::byte> last = header(*this, directory_at);
    file.insert(file.end(), last.begin(), last.end());
  }
  if (end_marker) append_marker(file, 0, 0);
  return file;
}

}  // namespace hyper2kvm::image::testing
