#include "runner/image/block_map.h"

#include <algorithm>

#include "runner/image/byte_order.h"
#include "runner/image/refusal.h"

namespace hyper2kvm::image {

const BlockMap::Page& BlockMap::page(std::uint64_t offset) {
  const std::uint64_t begin = offset / kPageSize * kPageSize;
  Page& slot = pages_[static_cast<std::size_t>(begin / kPageSize % pages_.size())];
  if (slot.offset == begin) return slot;
  slot.offset = ~std::uint64_t{0};
  const std::uint64_t length = file_.length();
  const std::size_t size =
      static_cast<std::size_t>(begin < length ? std::min<std::uint64_t>(kPageSize, length - begin) : 0);
  file_.read_exactly_at(begin, std::span(slot.bytes).first(size));
  std::fill(slot.bytes.begin() + static_cast<std::ptrdiff_t>(size), slot.bytes.end(), std::byte{0});
  slot.offset = begin;
  return slot;
}

// Entries lie at multiples of their size, so none is in two pages.
template <typename T>
T BlockMap::load_entry(std::uint64_t file_offset, bool big_endian) {
  const Page& found = page(file_offset);
  const std::size_t at = static_cast<std::size_t>(file_offset % kPageSize) / sizeof(T) * sizeof(T);
  return big_endian ? load_big<T>(found.bytes, at) : load_little<T>(found.bytes, at);
}
template std::uint32_t BlockMap::load_entry(std::uint64_t, bool);
template std::uint64_t BlockMap::load_entry(std::uint64_t, bool);

void BlockMap::check_tables(std::uint64_t count, std::uint64_t size) const {
  if (count <= file_.length() / size + 1) return;
  refuse(file_.name(), "names " + std::to_string(count) + " tables of " + std::to_string(size) +
                           " bytes, which is more than the file holds");
}

void BlockMap::check_inside(std::uint64_t file_offset, std::uint64_t size, std::uint64_t guest_offset) const {
  if (file_offset > file_.length() || size > file_.length() - file_offset) refuse_outside(guest_offset);
}

void BlockMap::refuse_outside(std::uint64_t guest_offset) const {
  refuse(file_.name(),
         "has the data for byte " + std::to_string(guest_offset) + " of its disk past the end of the file",
         "The file is truncated or damaged: export or copy it again.");
}

}  // namespace hyper2kvm::image
