// The metadata of a qcow2 image that is written from its first byte to its last: which guest cluster is
// where, and how often each cluster of the file is used.
//
// The file only grows: clusters are taken from its end, in the order of the calls, so two runs over the same
// disk give the same file. Clusters are 64 KiB, refcounts 16 bits, the header version 3.
//
//   cluster 0   header
//   1...        L1 table
//   ...         data and L2 tables as they come; compressed clusters lie byte after byte in clusters of their
//   own at the end  refcount blocks, refcount table
//
// Memory: L2 tables are kept in a cache of 16 MiB and go to their place in the file; refcounts are kept only
// for runs of clusters in which one differs from 1, two bytes a cluster. Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "runner/image/table_cache.h"
#include "runner/image/target.h"
#include "runner/image/target_file.h"

namespace hyper2kvm::image {

class Qcow2Tables {
 public:
  Qcow2Tables(TargetFile& file, std::uint64_t virtual_size, ClusterCompression compression);

  std::uint64_t guest_clusters() const { return guest_clusters_; }
  // Takes neighbouring clusters from the end of the file; returns the offset of the first.
  std::uint64_t take_clusters(std::uint64_t count);
  // Takes room for one compressed cluster; size is below kClusterSize.
  std::uint64_t take_packed(std::size_t size);
  // Where the last one ended; 0: there was none.
  std::uint64_t packed_end() const { return packed_at_; }
  // L2 entries as the format has them; 0 where nothing is.
  std::uint64_t entry(std::uint64_t guest_cluster);
  void set_entry(std::uint64_t guest_cluster, std::uint64_t entry);
  // The clusters that an entry uses are used once less; those that nobody uses any more are appended to
  // freed.
  void release(std::uint64_t entry, std::vector<std::uint64_t>& freed);

  static std::uint64_t plain_entry(std::uint64_t offset);
  static std::uint64_t packed_entry(std::uint64_t offset, std::size_t size);

  // Writes tables, refcounts and, last, the header.
  void write_out();

 private:
  static constexpr std::size_t kEntries = kClusterSize / 8;        // of an L2 table
  static constexpr std::size_t kCountsInBlock = kClusterSize / 2;  // of a refcount block
  static constexpr std::size_t kTablesInCache = 256;
  using CountBlock = std::array<std::uint16_t, kCountsInBlock>;
  using Table = TableCache<std::uint64_t>::Table;

  Table& table(std::uint64_t l1_index);
  void read_table(Table& fresh);
  void write_table(const Table& table);
  std::uint16_t& count(std::uint64_t host_cluster);
  void write_refcounts();
  void write_header(std::uint64_t table_offset, std::uint64_t table_clusters);

  TargetFile& file_;
  const std::uint64_t virtual_size_;
  const ClusterCompression compression_;
  const std::uint64_t guest_clusters_;
  std::uint64_t l1_offset_ = 0;
  std::vector<std::uint64_t> l1_;    // offsets of L2 tables; 0: none yet
  std::uint64_t host_clusters_ = 1;  // in the file so far, beginning with the header
  std::uint64_t packed_at_ = 0;      // where the next compressed cluster may begin; 0: nowhere yet
  TableCache<std::uint64_t> cache_{kTablesInCache, kEntries};              // L2 tables by L1 index
  std::unordered_map<std::uint64_t, std::unique_ptr<CountBlock>> counts_;  // absent: all 1
};

}  // namespace hyper2kvm::image
