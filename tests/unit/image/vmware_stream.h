// Writes a streamOptimized VMDK as VMware's exports have it (tables behind their grains, footer, end marker):
// qemu-img only makes the other kind. Every part can be bent, for the tests that feed damaged ones.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace hyper2kvm::image::testing {

struct StreamMaker {
  std::uint64_t capacity_sectors = 0;
  std::uint64_t grain_sectors = 128;
  std::uint64_t overhead_sectors = 128;
  std::uint32_t version = 3;
  std::uint32_t flags = 0x30001;
  std::uint16_t algorithm = 1;
  std::string descriptor_extra;  // lines at the end of the descriptor
  // Called with each grain's number and its zlib stream; what it leaves is written.
  std::function<void(std::uint64_t number, std::vector<std::byte>& zlib)> bend_grain;
  // Called with each grain table before it is written.
  std::function<void(std::uint64_t table, std::vector<std::uint32_t>& entries)> bend_table;
  std::function<void(std::vector<std::uint32_t>& directory)> bend_directory;
  // Marker numbers of grains (where they say that they belong), by grain.
  std::map<std::uint64_t, std::uint64_t> marker_sectors;
  std::vector<std::uint64_t> twice;  // grains that are written two times
  bool footer = true;
  bool end_marker = true;

  // data: the whole disk; grains of zeroes are left out.
  std::vector<std::byte> make(std::span<const std::byte> data) const;
};

std::vector<std::byte> zlib_stream(std::span<const std::byte> data, int level = 6);

}  // namespace hyper2kvm::image::testing
