// streamOptimized VMDK to anything, in one pass over the file.
//
//   this thread: read a chunk, find its grains ──► hash thread: SHA-256
//                                              └─► workers: inflate and check, take places in turn, write
//
// Into a compressed qcow2 the deflate streams are passed on as they are: a grain is 64 KiB in a zlib stream,
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
#include "runner/image/ordered_crew.h"
#include "runner/os/error.h"

namespace hyper2kvm::image {
namespace {

constexpr std::size_t kChunkSize = 4u << 20;
constexpr std::size_t kGrainsInJob = 32;  // 2 MiB of the disk
// 64 KiB of zeroes are some 80 bytes of deflate; anything longer is not worth a look.
constexpr std::size_t kLongestZeroGrain = 256;

static_assert(kGrainSize == kClusterSize);

class StreamConversion : public ConversionBase {
 public:
  using ConversionBase::ConversionBase;

 private:
  struct Worker {
    Inflater inflater;
    AlignedBuffer inflated{kGrainsInJob * kGrainSize};
    AlignedBuffer packed{kGrainsInJob * kGrainSize};
  };

  void copy_disk(const Progress& progress, const os::StopToken& stop) override {
    LocatedFile file(source().location);
    file.expect_sequential_reads();
    auto read = [&](std::uint64_t offset, std::span<std::byte> bytes) {
      file.read_exactly_at(offset, bytes);
    };
    StreamLayout layout = read_stream_layout(read, file.length(), name());
    capacity_ = layout.header.capacity * kSectorSize;
    GrainStream stream(layout, name());

    // The order matters on the way out: the crew ends before what its jobs use.
    std::vector<Worker> workers(threads());
    std::optional<HashThread> hash;
    if (options().check_grains || options().expected_sha256) hash.emplace();
    ChunkPool pool(2 * threads() + 4, kLargestGrainRecord, kChunkSize);
    OrderedCrew crew(threads(), stop);
    auto wait = [&] { crew.throw_if_failed(); };

    std::shared_ptr<Chunk> previous;
    std::size_t kept = 0;  // bytes at the end of previous that belong to an incomplete record
    for (std::uint64_t offset = 0; offset < file.length();) {
      std::shared_ptr<Chunk> chunk = pool.take(wait);
      crew.throw_if_failed();
      std::size_t size =
          static_cast<std::size_t>(std::min<std::uint64_t>(kChunkSize, file.length() - offset));
      chunk->fresh = chunk->memory.span().subspan(chunk->head_size, size);
      pace(size, stop);
      file.read_exactly_at(offset, chunk->fresh);
      offset += size;
      std::span<std::byte> window = chunk->with_head(kept);
      if (kept > 0) std::memcpy(window.data(), previous->fresh.data() + previous->fresh.size() - kept, kept);
      if (hash) hash->add(chunk);
      std::vector<Grain> grains;
      kept = window.size() - stream.parse(window, grains);
      for (std::size_t first = 0; first < grains.size(); first += kGrainsInJob)
        crew.submit([this, &workers, chunk,
                     part = std::vector<Grain>(grains.begin() + static_cast<std::ptrdiff_t>(first),
                                               grains.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                                    first + kGrainsInJob, grains.size())))](
                        unsigned worker, OrderedCrew::Turn& turn) { convert(workers[worker], part, turn); });
      previous = std::move(chunk);
      progress(offset, file.length());
    }
    previous.reset();
    stream.end();
    verify_grain_tables(layout, stream.ledger(), read, name(), stop);
    crew.finish();
    result().bytes_read = file.length();
    if (hash) result().source_sha256 = hash->finish([&] { stop.throw_if_stopped(); });
  }

  void convert(Worker& worker, const std::vector<Grain>& grains, OrderedCrew::Turn& turn) {
    std::vector<Piece> pieces;
    std::size_t packed = 0;
    for (std::size_t i = 0; i < grains.size(); ++i) {
      const Grain& grain = grains[i];
      std::span<const std::byte> deflate = deflate_part(grain.zlib);
      if (deflate.empty()) damaged(grain, "is no zlib stream");
      const std::uint64_t guest_offset = grain.number * kGrainSize;
      // The last grain of a disk may be cut where the disk ends.
      const std::size_t shortest =
          static_cast<std::size_t>(std::min<std::uint64_t>(kGrainSize, capacity_ - guest_offset));
      const bool pass_on = writes_compressed() && deflate.size() < kClusterSize && shortest == kGrainSize;
      std::span<std::byte> plain = worker.inflated.span().subspan(i * kGrainSize, kGrainSize);
      if (options().check_grains || !pass_on || deflate.size() < kLongestZeroGrain) {
        std::size_t size = worker.inflater.inflate_zlib(grain.zlib, plain);
        if (size == 0) damaged(grain, "does not match its checksum");
        if (size != kGrainSize && size != shortest)
          damaged(grain, "holds " + std::to_string(size) + " bytes instead of " + std::to_string(kGrainSize));
        std::fill(plain.begin() + static_cast<std::ptrdiff_t>(size), plain.end(), std::byte{0});
        if ((!pass_on || deflate.size() < kLongestZeroGrain) && is_zero(plain)) continue;
      }
      if (pass_on) {
        std::span<std::byte> place = worker.packed.span().subspan(packed, deflate.size());
        std::memcpy(place.data(), deflate.data(), deflate.size());
        packed += deflate.size();
        pieces.push_back(Piece{guest_offset, Piece::Encoding::kCompressed, place});
      } else if (!pieces.empty() && pieces.back().encoding == Piece::Encoding::kPlain &&
                 pieces.back().guest_offset + pieces.back().bytes.size() == guest_offset &&
                 pieces.back().bytes.data() + pieces.back().bytes.size() == plain.data()) {
        pieces.back().bytes = {pieces.back().bytes.data(), pieces.back().bytes.size() + kGrainSize};
      } else {
        pieces.push_back(Piece{guest_offset, Piece::Encoding::kPlain, plain});
      }
    }
    turn.take();
    std::vector<Placed> placed;
    target().place(pieces, placed);
    turn.give_back();
    target().write(placed);
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
