// streamOptimized VMDK to anything, in one pass over the file.
//
//   this thread: read a chunk, find its grains ──► hash thread: SHA-256
//                                              └─► workers: inflate and check, take places in turn, write
//
// Into a deflate-compressed qcow2 the streams are passed on as they are: a grain is 64 KiB in a zlib stream,
// a compressed cluster is 64 KiB in a raw deflate stream, which is the same without 2 bytes before and 4
// behind. Grains that did not shrink become plain clusters. Grains of zeroes become nothing in any target.
// What the grains' own markers say is checked against the grain tables when all are known.
#include <algorithm>
#include <cstring>
#include <optional>

#include "runner/image/chunk.h"
#include "runner/image/conversion_base.h"
#include "runner/image/deflate.h"
#include "runner/image/grain_stream.h"
#include "runner/image/located_file.h"
#include "runner/image/piece_maker.h"
#include "runner/image/zeroes.h"
#include "runner/image/zlib_batch.h"
#include "runner/os/error.h"

namespace hyper2kvm::image {
namespace {

// With the room before it, a chunk is a huge page.
constexpr std::size_t kChunkSize = (2u << 20) - kLargestGrainRecord;
constexpr std::size_t kReadAhead = 8u << 20;
constexpr std::size_t kGrainsInJob = 32;  // 2 MiB of the disk
constexpr std::size_t kJobSize = kGrainsInJob * kGrainSize;
// 64 KiB of zeroes are some 80 bytes of deflate; anything longer is not worth a look.
constexpr std::size_t kLongestZeroGrain = 256;

static_assert(kGrainSize == kClusterSize);

class StreamConversion : public ConversionBase {
 public:
  using ConversionBase::ConversionBase;

 private:
  // What becomes of a grain.
  struct Planned {
    std::uint64_t guest_offset = 0;
    std::span<const std::byte> deflate;
    std::size_t size = kGrainSize;  // less where the disk ends in it
    bool pass_on = false;           // as it is
    bool may_be_zero = false;
    bool is_zero = false;
  };
  // A thread's.
  struct Worker {
    explicit Worker(std::unique_ptr<ClusterPacker> own) : packer(std::move(own)) {}
    std::unique_ptr<ClusterPacker> packer;  // null where clusters are plain
    ZlibBatch batch;
    std::vector<Planned> planned;
    std::vector<std::span<const std::byte>> streams;  // to be inflated
    std::vector<std::size_t> inflated;                // which of planned these are
  };
  // A job's, until it is written.
  struct Slot {
    explicit Slot(bool packs) : pieces(kJobSize, packs) {}
    AlignedBuffer plain{kJobSize};
    PieceMaker pieces;

    // What is written plain has a place of its own, so neighbours stay neighbours.
    std::span<std::byte> plain_at(std::size_t number) {
      return plain.span().subspan(number * kGrainSize, kGrainSize);
    }
  };
  struct Memory {
    std::vector<Worker> workers;
    std::vector<Slot> slots;
  };

  void copy_disk(const Progress& progress, const os::StopToken& stop) override {
    LocatedFile file(source().location);
    file.expect_sequential_reads();
    auto read = [&](std::uint64_t offset, std::span<std::byte> bytes) {
      file.read_exactly_at(offset, bytes);
    };
    const StreamLayout layout = read_stream_layout(file);
    capacity_ = layout.header.capacity * kSectorSize;
    GrainStream stream(layout, name());

    // The order matters on the way out: the crew ends before what its jobs use.
    Memory memory;
    for (std::unique_ptr<ClusterPacker>& packer : make_packers())
      memory.workers.emplace_back(std::move(packer));
    for (unsigned i = 0; i < slots(); ++i) memory.slots.emplace_back(packing().has_value());
    std::optional<HashThread> hash;
    if (options().check_grains || options().wants_digest()) hash.emplace();
    ChunkPool pool(threads() + 4, kLargestGrainRecord, kChunkSize);
    OrderedCrew crew(threads(), slots(), stop);
    auto wait = [&] {
      crew.throw_if_failed();
      progress(done(), file.length());
    };

    file.expect_read(0, kReadAhead);
    std::shared_ptr<Chunk> previous;
    std::size_t kept = 0;  // bytes at the end of previous that belong to an incomplete record
    for (std::uint64_t offset = 0; offset < file.length();) {
      std::shared_ptr<Chunk> chunk = pool.take(wait);
      const std::size_t size =
          static_cast<std::size_t>(std::min<std::uint64_t>(kChunkSize, file.length() - offset));
      limit_rate(size, crew);
      chunk->fresh = chunk->memory.span().subspan(chunk->head_size, size);
      file.read_exactly_at(offset, chunk->fresh);
      offset += size;
      file.expect_read(offset + kReadAhead - kChunkSize, kChunkSize);
      std::span<std::byte> window = chunk->with_head(kept);
      if (kept > 0) std::memcpy(window.data(), previous->fresh.data() + previous->fresh.size() - kept, kept);
      if (hash) hash->add(chunk);
      std::vector<Grain> grains;
      kept = window.size() - stream.parse(window, grains);
      submit_grains(crew, memory, chunk, grains, size);
      previous = std::move(chunk);
      wait();
    }
    previous.reset();
    stream.end();
    verify_grain_tables(layout, stream.ledger(), read, name(), stop);
    crew.finish([&] { progress(done(), file.length()); });
    file.expect_whole();
    result().bytes_read = file.length();
    if (hash) result().source_sha256 = hash->finish([&] { stop.throw_if_stopped(); });
    progress(file.length(), file.length());
  }

  // The chunk's bytes count as done when its last job is.
  void submit_grains(OrderedCrew& crew, Memory& memory, const std::shared_ptr<Chunk>& chunk,
                     const std::vector<Grain>& grains, std::size_t size) {
    if (grains.empty()) count_done(size);
    for (std::size_t first = 0; first < grains.size(); first += kGrainsInJob) {
      const std::size_t last = std::min(first + kGrainsInJob, grains.size());
      const std::uint64_t weight = size * last / grains.size() - size * first / grains.size();
      submit(crew, weight,
             [this, &crew, &memory, chunk,
              part = std::vector<Grain>(grains.begin() + static_cast<std::ptrdiff_t>(first),
                                        grains.begin() + static_cast<std::ptrdiff_t>(last))](unsigned worker,
                                                                                             unsigned slot) {
               convert(memory.workers[worker], memory.slots[slot], part, crew);
               return memory.slots[slot].pieces.pieces();
             });
    }
  }

  void convert(Worker& worker, Slot& slot, const std::vector<Grain>& grains, OrderedCrew& crew) {
    worker.planned.clear();
    worker.streams.clear();
    worker.inflated.clear();
    for (const Grain& grain : grains) {
      Planned& planned = worker.planned.emplace_back();
      planned.deflate = deflate_part(grain.zlib);
      if (planned.deflate.empty()) damaged(grain, "is no zlib stream");
      planned.guest_offset = grain.number * kGrainSize;
      planned.size =
          static_cast<std::size_t>(std::min<std::uint64_t>(kGrainSize, capacity_ - planned.guest_offset));
      planned.pass_on = packing() == ClusterCompression::kDeflate && planned.deflate.size() < kClusterSize &&
                        planned.size == kGrainSize;
      planned.may_be_zero = planned.deflate.size() < kLongestZeroGrain;
      if (options().check_grains || !planned.pass_on || planned.may_be_zero) {
        worker.streams.push_back(grain.zlib);
        worker.inflated.push_back(worker.planned.size() - 1);
      }
    }
    worker.batch.inflate(worker.streams, [&](std::size_t stream, std::span<const std::byte> contents) {
      const std::size_t number = worker.inflated[stream];
      Planned& planned = worker.planned[number];
      if (contents.empty()) damaged(grains[number], "does not match its checksum");
      if (contents.size() != kGrainSize && contents.size() != planned.size)
        damaged(grains[number], "holds " + std::to_string(contents.size()) + " bytes instead of " +
                                    std::to_string(kGrainSize));
      if (!planned.pass_on) {
        const std::span<std::byte> plain = slot.plain_at(number);
        std::copy(contents.begin(), contents.end(), plain.begin());
        std::fill(plain.begin() + static_cast<std::ptrdiff_t>(contents.size()), plain.end(), std::byte{0});
      } else if (planned.may_be_zero) {
        planned.is_zero = is_zero(contents);
      }
    });
    slot.pieces.begin(worker.packer.get());
    for (std::size_t number = 0; number < grains.size(); ++number) {
      const Planned& planned = worker.planned[number];
      // Deflate has been tried on it before.
      if (!planned.pass_on)
        slot.pieces.add_plain(
            planned.guest_offset, slot.plain_at(number), [&] { crew.throw_if_failed(); },
            packing() != ClusterCompression::kDeflate);
      else if (!planned.is_zero)
        slot.pieces.add_packed(planned.guest_offset, planned.deflate);
    }
  }

  [[noreturn]] void damaged(const Grain& grain, const std::string& problem) const {
    throw os::Error(os::ErrorKind::kInvalid, name(),
                    "the grain at sector " + std::to_string(grain.sector) + " " + problem,
                    "The export is damaged: export or copy it again.");
  }

  std::uint64_t capacity_ = 0;  // bytes
};

}  // namespace

std::unique_ptr<Conversion> create_stream_conversion(const SourceImage& source,
                                                     const std::filesystem::path& target,
                                                     const ConversionOptions& options) {
  return std::make_unique<StreamConversion>(source, target, options);
}

}  // namespace hyper2kvm::image
