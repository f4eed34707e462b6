#include "runner/image/qcow2_tables.h"

#include <algorithm>

#include "runner/image/byte_order.h"
#include "runner/image/qcow2_format.h"
#include "runner/os/error.h"

namespace hyper2kvm::image {
namespace {

// With clusters of 64 KiB: the low 54 bits are the offset, the next 8 the number of further sectors.
constexpr unsigned kSectorCountShift = 62 - (16 - 8);
constexpr std::uint64_t kPackedOffsetMask = (std::uint64_t{1} << kSectorCountShift) - 1;
constexpr std::uint64_t kSector = 512;

std::uint64_t packed_sectors(std::uint64_t entry) { return ((entry >> kSectorCountShift) & 0xff) + 1; }

}  // namespace

Qcow2Tables::Qcow2Tables(TargetFile& file, std::uint64_t virtual_size, ClusterCompression compression)
    : file_(file),
      virtual_size_(virtual_size),
      compression_(compression),
      guest_clusters_(divide_up<std::uint64_t>(virtual_size, kClusterSize)) {
  l1_.resize(static_cast<std::size_t>(divide_up<std::uint64_t>(guest_clusters_, kEntries)));
  l1_offset_ =
      take_clusters(std::max<std::uint64_t>(1, divide_up<std::uint64_t>(l1_.size() * 8, kClusterSize)));
}

std::uint64_t Qcow2Tables::take_clusters(std::uint64_t count) {
  std::uint64_t offset = host_clusters_ * kClusterSize;
  host_clusters_ += count;
  return offset;
}

std::uint64_t Qcow2Tables::take_packed(std::size_t size) {
  const std::uint64_t end_of_file = host_clusters_ * kClusterSize;
  // The open cluster is the last one of the file, or others were taken since and it ends where they begin.
  const std::uint64_t end_of_open = round_up<std::uint64_t>(packed_at_, kClusterSize);
  std::uint64_t offset = packed_at_;
  const bool can_grow = end_of_open == end_of_file;
  if (packed_at_ == 0 || (offset + size > end_of_open && !can_grow)) offset = end_of_file;
  const std::uint64_t end = offset + size;
  for (std::uint64_t cluster = offset / kClusterSize; cluster <= (end - 1) / kClusterSize; ++cluster) {
    if (cluster == host_clusters_) {
      ++host_clusters_;
      count(cluster) = 0;
    }
    ++count(cluster);
  }
  packed_at_ = end;
  return offset;
}

std::uint64_t Qcow2Tables::plain_entry(std::uint64_t offset) { return offset | qcow2::kCopied; }

std::uint64_t Qcow2Tables::packed_entry(std::uint64_t offset, std::size_t size) {
  std::uint64_t further_sectors = (offset + size - 1) / kSector - offset / kSector;
  return qcow2::kCompressed | (further_sectors << kSectorCountShift) | offset;
}

std::uint64_t Qcow2Tables::entry(std::uint64_t guest_cluster) {
  std::uint64_t l1_index = guest_cluster / kEntries;
  if (l1_[l1_index] == 0) return 0;
  return table(l1_index).entries[guest_cluster % kEntries];
}

void Qcow2Tables::set_entry(std::uint64_t guest_cluster, std::uint64_t entry) {
  Table& own = table(guest_cluster / kEntries);
  own.entries[guest_cluster % kEntries] = entry;
  own.changed = true;
}

void Qcow2Tables::release(std::uint64_t entry, std::vector<std::uint64_t>& freed) {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  if ((entry & qcow2::kCompressed) != 0) {
    std::uint64_t offset = entry & kPackedOffsetMask;
    first = offset / kClusterSize;
    last = ((offset / kSector + packed_sectors(entry)) * kSector - 1) / kClusterSize;
  } else {
    first = last = (entry & qcow2::kOffsetMask) / kClusterSize;
    if (first == 0) return;
  }
  for (std::uint64_t cluster = first; cluster <= last; ++cluster)
    if (--count(cluster) == 0) {
      freed.push_back(cluster * kClusterSize);
      // The open cluster of the packer may be given back too: nothing may be packed into it any more.
      if (packed_at_ != 0 && (packed_at_ - 1) / kClusterSize == cluster) packed_at_ = 0;
    }
}

Qcow2Tables::Table& Qcow2Tables::table(std::uint64_t l1_index) {
  return cache_.at(
      l1_index, [this](Table& fresh) { read_table(fresh); },
      [this](const Table& changed) { write_table(changed); });
}

void Qcow2Tables::read_table(Table& fresh) {
  std::uint64_t& offset = l1_[fresh.number];
  if (offset == 0) {
    std::fill(fresh.entries.begin(), fresh.entries.end(), 0);
    offset = take_clusters(1);
    return;
  }
  file_.read_exactly_at(offset, std::as_writable_bytes(std::span(fresh.entries)));
  auto bytes = std::as_bytes(std::span(fresh.entries));
  for (std::size_t i = 0; i < kEntries; ++i) fresh.entries[i] = load_big<std::uint64_t>(bytes, i * 8);
}

void Qcow2Tables::write_table(const Table& table) {
  std::vector<std::byte> bytes(kClusterSize);
  for (std::size_t i = 0; i < kEntries; ++i) store_big(std::span(bytes), i * 8, table.entries[i]);
  file_.write_at(l1_[table.number], bytes);
}

std::uint16_t& Qcow2Tables::count(std::uint64_t host_cluster) {
  std::unique_ptr<CountBlock>& block = counts_[host_cluster / kCountsInBlock];
  if (!block) {
    block = std::make_unique<CountBlock>();
    block->fill(1);
  }
  return (*block)[host_cluster % kCountsInBlock];
}

void Qcow2Tables::write_out() {
  cache_.store_changed([this](const Table& changed) { write_table(changed); });
  std::vector<std::byte> bytes(round_up<std::size_t>(std::max<std::size_t>(l1_.size() * 8, 1), kClusterSize));
  for (std::size_t i = 0; i < l1_.size(); ++i)
    store_big(std::span(bytes), i * 8, l1_[i] == 0 ? std::uint64_t{0} : l1_[i] | qcow2::kCopied);
  file_.write_at(l1_offset_, bytes);
  write_refcounts();
}

void Qcow2Tables::write_refcounts() {
  // The blocks and the table count themselves.
  const std::uint64_t data_clusters = host_clusters_;
  std::uint64_t blocks = 0;
  std::uint64_t table_clusters = 0;
  while (true) {
    std::uint64_t all = data_clusters + blocks + table_clusters;
    std::uint64_t needed_blocks = divide_up<std::uint64_t>(all, kCountsInBlock);
    std::uint64_t needed_table = divide_up<std::uint64_t>(needed_blocks * 8, kClusterSize);
    if (needed_blocks == blocks && needed_table == table_clusters) break;
    blocks = needed_blocks;
    table_clusters = needed_table;
  }
  const std::uint64_t blocks_offset = take_clusters(blocks);
  const std::uint64_t table_offset = take_clusters(table_clusters);
  file_.truncate(host_clusters_ * kClusterSize);
  std::vector<std::byte> bytes(kClusterSize);
  for (std::uint64_t block = 0; block < blocks; ++block) {
    auto found = counts_.find(block);
    for (std::size_t i = 0; i < kCountsInBlock; ++i) {
      std::uint64_t cluster = block * kCountsInBlock + i;
      std::uint16_t value = cluster >= host_clusters_ ? 0 : found == counts_.end() ? 1 : (*found->second)[i];
      store_big(std::span(bytes), i * 2, value);
    }
    file_.write_at(blocks_offset + block * kClusterSize, bytes);
  }
  std::vector<std::byte> table(static_cast<std::size_t>(table_clusters * kClusterSize));
  for (std::uint64_t block = 0; block < blocks; ++block)
    store_big(std::span(table), static_cast<std::size_t>(block * 8), blocks_offset + block * kClusterSize);
  file_.write_at(table_offset, table);
  write_header(table_offset, table_clusters);
}

void Qcow2Tables::write_header(std::uint64_t table_offset, std::uint64_t table_clusters) {
  const bool zstd = compression_ == ClusterCompression::kZstd;
  const std::uint32_t header_size = qcow2::kHeaderSizeVersion3 + 8;
  std::vector<std::byte> bytes(
      kClusterSize);  // the end marker of the header extensions is zeroes, as the rest
  std::span<std::byte> header(bytes);
  store_big<std::uint32_t>(header, 0, qcow2::kMagic);
  store_big<std::uint32_t>(header, 4, 3);    // version
  store_big<std::uint32_t>(header, 20, 16);  // cluster bits
  store_big<std::uint64_t>(header, 24, virtual_size_);
  store_big<std::uint32_t>(header, 36, static_cast<std::uint32_t>(l1_.size()));
  store_big<std::uint64_t>(header, 40, l1_offset_);
  store_big<std::uint64_t>(header, 48, table_offset);
  store_big<std::uint32_t>(header, 56, static_cast<std::uint32_t>(table_clusters));
  store_big<std::uint64_t>(header, 72, zstd ? qcow2::kIncompatibleCompression : std::uint64_t{0});
  store_big<std::uint32_t>(header, 96, 4);  // refcount order: 16 bits
  store_big<std::uint32_t>(header, 100, header_size);
  bytes[104] = std::byte{zstd ? qcow2::kCompressionZstd : qcow2::kCompressionDeflate};
  file_.write_at(0, bytes);
}

}  // namespace hyper2kvm::image
