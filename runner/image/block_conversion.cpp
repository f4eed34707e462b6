// Any disk that is read by its blocks, to anything.
//
//   this thread: where are data? ──► workers: read, drop zeroes, compress, take places in turn, write
//
// Plain data whose SHA-256 somebody wants are read once, from the first byte to the last, by this thread; the
// workers get them from it. Images with a map are hashed beside the copy: the page cache holds what both
// want. Clusters that are packed in the source as the target wants them are passed on.
#include <algorithm>
#include <exception>
#include <optional>
#include <thread>

#include "runner/image/block_map.h"
#include "runner/image/block_source.h"
#include "runner/image/byte_order.h"
#include "runner/image/chunk.h"
#include "runner/image/conversion_base.h"
#include "runner/image/located_file.h"
#include "runner/image/piece_maker.h"
#include "runner/image/zeroes.h"
#include "runner/os/error.h"

namespace hyper2kvm::image {
namespace {

constexpr std::size_t kJobSize = 2u << 20;
constexpr std::size_t kReadAhead = 8u << 20;

// Hashes a location on a thread of its own, while the same file is read by somebody else too.
class HashBeside {
 public:
  HashBeside(const ImageLocation& location, const os::StopToken& stop, RateLimiter* limiter) : stop_(stop) {
    thread_ = std::thread([this, location, limiter] {
      try {
        digest_ = sha256_of(location, {}, stop_.token(), limiter);
      } catch (...) {
        error_ = std::current_exception();
      }
    });
  }
  ~HashBeside() {
    stop_.request_stop();
    if (thread_.joinable()) thread_.join();
  }
  std::string finish() {
    thread_.join();
    if (error_) std::rethrow_exception(error_);
    return digest_;
  }

 private:
  os::StopSource stop_;
  std::string digest_;
  std::exception_ptr error_;
  std::thread thread_;
};

class BlockConversion : public ConversionBase {
 public:
  using ConversionBase::ConversionBase;

 private:
  // A thread's.
  struct Worker {
    explicit Worker(std::unique_ptr<ClusterPacker> own) : packer(std::move(own)) {}
    std::unique_ptr<ClusterPacker> packer;  // null where clusters are plain
    AlignedBuffer packed{kClusterSize};     // as the source has it
  };
  // A job's, until it is written.
  struct Slot {
    explicit Slot(bool packs) : pieces(kJobSize, packs) {}
    AlignedBuffer data{kJobSize};
    PieceMaker pieces;
  };
  struct Memory {
    std::vector<Worker> workers;
    std::vector<Slot> slots;
  };

  Memory make_memory() const {
    Memory memory;
    for (std::unique_ptr<ClusterPacker>& packer : make_packers())
      memory.workers.emplace_back(std::move(packer));
    for (unsigned i = 0; i < slots(); ++i) memory.slots.emplace_back(packing().has_value());
    return memory;
  }

  void copy_disk(const Progress& progress, const os::StopToken& stop) override {
    const SourceImage& disk = source();
    // One file from its first byte on: the hash can come from the same read.
    const bool whole_file = disk.layout == Layout::kFlat && disk.extents.size() == 1 &&
                            disk.extents[0].file == disk.location.file &&
                            disk.extents[0].offset == disk.location.offset;
    if (options().wants_digest() && whole_file) {
      copy_in_one_pass(progress, stop);
      return;
    }
    std::optional<HashBeside> hash;
    if (options().wants_digest()) hash.emplace(disk.location, stop, limiter());
    copy_by_blocks(progress, stop);
    if (hash) result().source_sha256 = hash->finish();
  }

  // The next range of whole clusters with data at or after from; length 0 when there is none.
  os::File::Range next_clusters(BlockSource& blocks, std::uint64_t from) const {
    const std::uint64_t end = source().virtual_size;
    const os::File::Range range = from < end ? blocks.next_data(from) : os::File::Range{end, 0};
    if (range.length == 0) return {end, 0};
    const std::uint64_t begin = std::max(from, range.offset / kClusterSize * kClusterSize);
    const std::uint64_t stop =
        std::min(end, round_up<std::uint64_t>(range.offset + range.length, kClusterSize));
    return {begin, stop - begin};
  }

  // How much there is to copy, so that progress can be about work and not about holes.
  std::uint64_t count_data(BlockSource& blocks, const os::StopToken& stop) const {
    std::uint64_t total = 0;
    for (os::File::Range range = next_clusters(blocks, 0); range.length > 0;
         range = next_clusters(blocks, range.offset + range.length)) {
      stop.throw_if_stopped();
      total += range.length;
    }
    return total;
  }

  void copy_by_blocks(const Progress& progress, const os::StopToken& stop) {
    const bool by_qemu = source().layout == Layout::kOther;
    if (by_qemu)
      for (const ChainedImage& image : source().chain)
        check_qcow2_clusters(image.location, image.data_length, stop);
    std::unique_ptr<BlockSource> blocks = by_qemu ? open_nbd_source(source(), threads(), options().scratch)
                                                  : open_file_source(source(), threads(), stop);
    const std::uint64_t total = count_data(*blocks, stop);
    Memory memory = make_memory();
    OrderedCrew crew(threads(), slots(), stop);
    try {
      for (os::File::Range range = next_clusters(*blocks, 0); range.length > 0;
           range = next_clusters(*blocks, range.offset + range.length)) {
        const std::uint64_t end = range.offset + range.length;
        // Jobs begin at multiples of their size, so that a large cluster of the source is in one job.
        for (std::uint64_t from = range.offset; from < end;) {
          const std::size_t size =
              static_cast<std::size_t>(std::min<std::uint64_t>(kJobSize - from % kJobSize, end - from));
          submit(crew, size, [this, &crew, &memory, &blocks, from, size](unsigned worker, unsigned slot) {
            limit_rate(size, crew);
            read_pieces(*blocks, worker, memory.workers[worker], memory.slots[slot], from, size, crew);
            return memory.slots[slot].pieces.pieces();
          });
          result().bytes_read += size;
          from += size;
          // A file that grows meanwhile must not make more of it than all.
          progress(std::min(done(), total), total);
        }
      }
      crew.finish([&] { progress(std::min(done(), total), total); });
      blocks->end();
    } catch (...) {
      // A reader may wait for an answer; nobody needs it any more.
      blocks->abort();
      throw;
    }
    progress(total, total);
  }

  void read_pieces(BlockSource& blocks, unsigned reader, Worker& worker, Slot& slot, std::uint64_t from,
                   std::size_t size, OrderedCrew& crew) {
    const auto go_on = [&crew] { crew.throw_if_failed(); };
    slot.pieces.begin(worker.packer.get());
    const std::span<std::byte> data = slot.data.span().first(size);
    if (!packing() || !blocks.has_packed(*packing())) {
      blocks.read(reader, from, data);
      slot.pieces.add_plain(from, data, go_on);
      return;
    }
    for (std::size_t at = 0; at < size; at += kClusterSize) {
      const std::span<std::byte> cluster = data.subspan(at, std::min(kClusterSize, size - at));
      const std::size_t stream = cluster.size() == kClusterSize
                                     ? blocks.read_packed(reader, from + at, worker.packed.span(), cluster)
                                     : 0;
      if (stream > 0 && stream < kClusterSize) {
        if (!is_zero(cluster)) slot.pieces.copy_packed(from + at, worker.packed.span().first(stream));
        continue;
      }
      if (stream == 0) blocks.read(reader, from + at, cluster);
      // What the source has packed in the same way and did not shrink will not now.
      slot.pieces.add_plain(from + at, cluster, go_on, stream == 0);
    }
  }

  void copy_in_one_pass(const Progress& progress, const os::StopToken& stop) {
    LocatedFile file(source().location);
    file.expect_sequential_reads();
    const std::uint64_t end = source().virtual_size;
    Memory memory = make_memory();
    HashThread hash;
    ChunkPool pool(threads() + 6, 0, kJobSize);
    OrderedCrew crew(threads(), slots(), stop);
    auto wait = [&] {
      crew.throw_if_failed();
      progress(done(), file.length());
    };
    file.expect_read(0, kReadAhead);
    os::File::Range data = file.next_data(0);
    for (std::uint64_t offset = 0; offset < file.length();) {
      std::shared_ptr<Chunk> chunk = pool.take(wait);
      const std::size_t fresh =
          static_cast<std::size_t>(std::min<std::uint64_t>(kJobSize, file.length() - offset));
      chunk->fresh = chunk->memory.span().first(fresh);
      if (data.length > 0 && data.offset + data.length <= offset) data = file.next_data(offset);
      const bool hole = data.length == 0 || data.offset >= offset + fresh;
      if (hole) {
        std::fill(chunk->fresh.begin(), chunk->fresh.end(), std::byte{0});
      } else {
        limit_rate(fresh, crew);
        file.read_exactly_at(offset, chunk->fresh);
        file.expect_read(offset + kReadAhead, kJobSize);
        result().bytes_read += fresh;
      }
      hash.add(chunk);
      // A fixed VHD has its footer behind the disk.
      const std::size_t size =
          offset < end ? static_cast<std::size_t>(std::min<std::uint64_t>(fresh, end - offset)) : 0;
      if (hole || size == 0)
        count_done(fresh);
      else
        submit(crew, fresh, [&crew, &memory, chunk, offset, size](unsigned worker, unsigned slot) {
          PieceMaker& pieces = memory.slots[slot].pieces;
          pieces.begin(memory.workers[worker].packer.get());
          pieces.add_plain(offset, chunk->fresh.first(size), [&] { crew.throw_if_failed(); });
          return pieces.pieces();
        });
      offset += fresh;
      wait();
    }
    crew.finish([&] { progress(done(), file.length()); });
    result().source_sha256 = hash.finish(wait);
    file.expect_whole();
    progress(file.length(), file.length());
  }
};

}  // namespace

std::unique_ptr<Conversion> create_block_conversion(const SourceImage& source,
                                                    const std::filesystem::path& target,
                                                    const ConversionOptions& options) {
  return std::make_unique<BlockConversion>(source, target, options);
}

}  // namespace hyper2kvm::image
