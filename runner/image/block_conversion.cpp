// Any disk that is read by its blocks, to anything.
//
//   this thread: where are data? ──► workers: read, drop zeroes, compress, take places in turn, write
//
// Plain data whose SHA-256 somebody wants are read once, from the first byte to the last, by this thread; the
// workers get them from it. What qemu reads is hashed beside the copy: the page cache holds what both want.
#include <algorithm>
#include <exception>
#include <optional>
#include <thread>

#include "runner/image/block_source.h"
#include "runner/image/byte_order.h"
#include "runner/image/chunk.h"
#include "runner/image/conversion_base.h"
#include "runner/image/deflate.h"
#include "runner/image/located_file.h"
#include "runner/image/ordered_crew.h"
#include "runner/os/error.h"

namespace hyper2kvm::image {
namespace {

constexpr std::size_t kJobSize = 2u << 20;
constexpr int kUsualLevel = 6;

// Hashes a location on a thread of its own, while the same file is read by somebody else too.
class HashBeside {
 public:
  HashBeside(const ImageLocation& location, const os::StopToken& stop) : stop_(stop) {
    thread_ = std::thread([this, location] {
      try {
        digest_ = sha256_of(location, {}, stop_.token());
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
  struct Worker {
    explicit Worker(int level) : deflater(level) {}
    Deflater deflater;
    AlignedBuffer data{kJobSize};
    AlignedBuffer packed{kJobSize};
  };

  std::vector<Worker> make_workers() const {
    std::vector<Worker> workers;
    for (unsigned i = 0; i < threads(); ++i)
      workers.emplace_back(options().compress_level.value_or(kUsualLevel));
    return workers;
  }

  void copy_disk(const Progress& progress, const os::StopToken& stop) override {
    const SourceImage& disk = source();
    // One file from its first byte on: the hash can come from the same read.
    const bool whole_file = disk.layout == Layout::kFlat && disk.extents.size() == 1 &&
                            disk.extents[0].file == disk.location.file &&
                            disk.extents[0].offset == disk.location.offset;
    if (options().expected_sha256 && whole_file) {
      copy_in_one_pass(progress, stop);
      return;
    }
    std::optional<HashBeside> hash;
    if (options().expected_sha256) hash.emplace(disk.location, stop);
    copy_by_blocks(progress, stop);
    if (hash) result().source_sha256 = hash->finish();
  }

  void copy_by_blocks(const Progress& progress, const os::StopToken& stop) {
    std::unique_ptr<BlockSource> blocks = source().layout == Layout::kFlat
                                              ? open_flat_source(source())
                                              : open_nbd_source(source(), threads(), options().scratch);
    std::vector<Worker> workers = make_workers();
    OrderedCrew crew(threads(), stop);
    const std::uint64_t end = source().virtual_size;
    try {
      std::uint64_t copied = 0;  // up to here
      while (copied < end) {
        crew.throw_if_failed();
        os::File::Range range = blocks->next_data(copied);
        if (range.length == 0) break;
        // Whole clusters, so that no cluster comes twice.
        std::uint64_t from = std::max(copied, range.offset / kClusterSize * kClusterSize);
        std::uint64_t to = std::min(end, round_up<std::uint64_t>(range.offset + range.length, kClusterSize));
        for (; from < to; from += kJobSize - from % kJobSize) {
          std::size_t size =
              static_cast<std::size_t>(std::min<std::uint64_t>(kJobSize - from % kJobSize, to - from));
          pace(size, stop);
          crew.submit([this, &workers, &blocks, from, size](unsigned worker, OrderedCrew::Turn& turn) {
            std::span<std::byte> data = workers[worker].data.span().first(size);
            blocks->read(worker, from, data);
            convert(workers[worker], from, data, turn);
          });
          result().bytes_read += size;
          progress(from + size, end);
        }
        copied = to;
      }
      crew.finish();
    } catch (...) {
      // A reader may wait for an answer; nobody needs it any more.
      blocks->abort();
      throw;
    }
    progress(end, end);
  }

  void copy_in_one_pass(const Progress& progress, const os::StopToken& stop) {
    LocatedFile file(source().location);
    file.expect_sequential_reads();
    const std::uint64_t end = source().virtual_size;
    std::vector<Worker> workers = make_workers();
    HashThread hash;
    ChunkPool pool(2 * threads() + 4, 0, kJobSize);
    OrderedCrew crew(threads(), stop);
    auto wait = [&] { crew.throw_if_failed(); };
    os::File::Range data = file.next_data(0);
    for (std::uint64_t offset = 0; offset < file.length();) {
      std::shared_ptr<Chunk> chunk = pool.take(wait);
      crew.throw_if_failed();
      chunk->fresh = chunk->memory.span().first(
          static_cast<std::size_t>(std::min<std::uint64_t>(kJobSize, file.length() - offset)));
      if (data.offset + data.length <= offset && data.length > 0) data = file.next_data(offset);
      const bool hole = data.length == 0 || data.offset >= offset + chunk->fresh.size();
      if (hole) {
        std::fill(chunk->fresh.begin(), chunk->fresh.end(), std::byte{0});
      } else {
        pace(chunk->fresh.size(), stop);
        file.read_exactly_at(offset, chunk->fresh);
        result().bytes_read += chunk->fresh.size();
      }
      hash.add(chunk);
      // A fixed VHD has its footer behind the disk.
      const std::size_t size =
          offset < end ? static_cast<std::size_t>(std::min<std::uint64_t>(chunk->fresh.size(), end - offset))
                       : 0;
      if (!hole && size > 0)
        crew.submit([this, &workers, chunk, offset, size](unsigned worker, OrderedCrew::Turn& turn) {
          convert(workers[worker], offset, chunk->fresh.first(size), turn);
        });
      offset += chunk->fresh.size();
      progress(std::min(offset, end), end);
    }
    crew.finish();
    result().source_sha256 = hash.finish(wait);
  }

  void convert(Worker& worker, std::uint64_t guest_offset, std::span<const std::byte> data,
               OrderedCrew::Turn& turn) {
    std::vector<Piece> pieces;
    std::size_t packed = 0;
    for (std::size_t at = 0; at < data.size(); at += kClusterSize) {
      std::span<const std::byte> cluster = data.subspan(at, std::min(kClusterSize, data.size() - at));
      if (is_zero(cluster)) continue;
      if (writes_compressed() && cluster.size() == kClusterSize) {
        std::span<std::byte> room = worker.packed.span().subspan(packed, kClusterSize - 1);
        if (std::size_t size = worker.deflater.deflate_raw(cluster, room); size > 0) {
          pieces.push_back(Piece{guest_offset + at, Piece::Encoding::kCompressed, room.first(size)});
          packed += size;
          continue;
        }
      }
      if (!pieces.empty() && pieces.back().encoding == Piece::Encoding::kPlain &&
          pieces.back().guest_offset + pieces.back().bytes.size() == guest_offset + at)
        pieces.back().bytes = {pieces.back().bytes.data(), pieces.back().bytes.size() + cluster.size()};
      else
        pieces.push_back(Piece{guest_offset + at, Piece::Encoding::kPlain, cluster});
    }
    turn.take();
    std::vector<Placed> placed;
    target().place(pieces, placed);
    turn.give_back();
    target().write(placed);
  }
};

}  // namespace

std::unique_ptr<Conversion> create_block_conversion(const SourceImage& source,
                                                    const std::filesystem::path& target,
                                                    const ConversionOptions& options) {
  return std::make_unique<BlockConversion>(source, target, options);
}

}  // namespace hyper2kvm::image
