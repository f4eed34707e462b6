// The block map of a VDI that is being written: which block of the disk is which block of the file.
//
// Four bytes for each MiB of the disk are 64 MiB for 16 TiB and 4 GiB for the largest VDI, so only a few
// pages of the map are in memory and the others at their place in the file. A page that was never changed is
// written by write_out() alone. Not thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "runner/image/table_cache.h"
#include "runner/image/target_file.h"

namespace hyper2kvm::image {

class VdiBlocks {
 public:
  // map_offset: of the map in the file, in bytes; count: blocks of the disk.
  VdiBlocks(TargetFile& file, std::uint64_t map_offset, std::uint64_t count);
  std::uint64_t count() const { return count_; }
  // Which block of the file, or vdi::kUnallocated. block must be below count().
  std::uint32_t at(std::uint64_t block) { return page(block / kEntries).entries[block % kEntries]; }
  void set(std::uint64_t block, std::uint32_t place);
  // All of the map. Throws os::Error as writing does, here and in the others where a page goes out.
  void write_out();

 private:
  static constexpr std::uint64_t kEntries = 16384;
  static constexpr std::size_t kPagesInCache = 64;
  using Page = TableCache<std::uint32_t>::Table;

  Page& page(std::uint64_t number);
  void read(Page& fresh) const;
  void write(const Page& own);
  // The entries of a page: the last one may have fewer.
  std::uint64_t entries_of(std::uint64_t number) const;
  std::uint64_t offset_of(std::uint64_t number) const { return map_offset_ + number * kEntries * 4; }

  TargetFile& file_;
  const std::uint64_t map_offset_;
  const std::uint64_t count_;
  std::vector<bool> in_file_;  // by page: written before
  TableCache<std::uint32_t> cache_{kPagesInCache, kEntries};
};

}  // namespace hyper2kvm::image
