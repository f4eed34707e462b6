#include "runner/image/vdi_blocks.h"

#include <algorithm>
#include <span>

#include "runner/image/byte_order.h"
#include "runner/image/vdi_format.h"

namespace hyper2kvm::image {

VdiBlocks::VdiBlocks(TargetFile& file, std::uint64_t map_offset, std::uint64_t count)
    : file_(file),
      map_offset_(map_offset),
      count_(count),
      in_file_(static_cast<std::size_t>(divide_up<std::uint64_t>(count, kEntries))) {}

void VdiBlocks::set(std::uint64_t block, std::uint32_t place) {
  Page& own = page(block / kEntries);
  own.entries[block % kEntries] = place;
  own.changed = true;
}

std::uint64_t VdiBlocks::entries_of(std::uint64_t number) const {
  return std::min(kEntries, count_ - number * kEntries);
}

VdiBlocks::Page& VdiBlocks::page(std::uint64_t number) {
  return cache_.at(
      number, [this](Page& fresh) { read(fresh); }, [this](const Page& changed) { write(changed); });
}

void VdiBlocks::read(Page& fresh) const {
  std::fill(fresh.entries.begin(), fresh.entries.end(), vdi::kUnallocated);
  if (!in_file_[fresh.number]) return;
  const std::span entries =
      std::span(fresh.entries).first(static_cast<std::size_t>(entries_of(fresh.number)));
  file_.read_exactly_at(offset_of(fresh.number), std::as_writable_bytes(entries));
  const auto bytes = std::as_bytes(entries);
  for (std::size_t i = 0; i < entries.size(); ++i) entries[i] = load_little<std::uint32_t>(bytes, i * 4);
}

void VdiBlocks::write(const Page& own) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(entries_of(own.number) * 4));
  for (std::size_t i = 0; i < bytes.size() / 4; ++i) store_little(std::span(bytes), i * 4, own.entries[i]);
  file_.write_at(offset_of(own.number), bytes);
  in_file_[own.number] = true;
}

void VdiBlocks::write_out() {
  cache_.store_changed([this](const Page& changed) { write(changed); });
  Page untouched{0, false, std::vector<std::uint32_t>(kEntries, vdi::kUnallocated)};
  for (; untouched.number < in_file_.size(); ++untouched.number)
    if (!in_file_[untouched.number]) write(untouched);
}

}  // namespace hyper2kvm::image
