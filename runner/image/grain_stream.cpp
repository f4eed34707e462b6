#include "runner/image/grain_stream.h"

#include <algorithm>
#include <array>

#include "runner/image/byte_order.h"
#include "runner/image/zeroes.h"
#include "runner/os/error.h"

namespace hyper2kvm::image {
namespace {

constexpr std::size_t kMarkerHead = 12;  // number and size; a grain's data follow at once
constexpr std::uint32_t kEndMarker = 0;
constexpr std::uint32_t kTableMarker = 1;
constexpr std::uint32_t kDirectoryMarker = 2;
constexpr std::uint32_t kFooterMarker = 3;
constexpr std::size_t kTableSize = 512 * 4;
// A zlib stream has a header of 2 bytes, at least 1 of deflate, and a checksum of 4.
constexpr std::uint32_t kSmallestZlib = 7;

[[noreturn]] void damaged(const std::string& name, const std::string& problem) {
  throw os::Error(os::ErrorKind::kInvalid, name, problem, "The export is damaged: export the machine again.");
}

// Walks directory and tables in order and calls visit(table, grain, sector) for each grain they list.
template <typename Visit>
void walk_tables(const StreamLayout& layout, const ReadAt& read, const std::string& name,
                 const os::StopToken& stop, Visit visit) {
  const std::uint64_t tables = divide_up<std::uint64_t>(layout.grains(), 512);
  const std::uint64_t directory = layout.header.directory_offset * kSectorSize;
  std::array<std::byte, 4096> piece;
  std::array<std::byte, kTableSize> table;
  for (std::uint64_t index = 0; index < tables; ++index) {
    std::size_t in_piece = static_cast<std::size_t>(index % (piece.size() / 4));
    if (in_piece == 0) {
      stop.throw_if_stopped();
      std::size_t wanted =
          static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), (tables - index) * 4));
      read(directory + index * 4, std::span(piece).first(wanted));
    }
    std::uint64_t sector = load_little<std::uint32_t>(piece, in_piece * 4);
    if (sector == 0) continue;
    if (sector * kSectorSize + kTableSize > layout.length)
      damaged(name, "grain table " + std::to_string(index) + " is past the end of the file");
    read(sector * kSectorSize, table);
    for (std::uint64_t entry = 0; entry < 512; ++entry) {
      std::uint64_t grain_sector = load_little<std::uint32_t>(table, static_cast<std::size_t>(entry * 4));
      if (grain_sector == 0 || (grain_sector == 1 && layout.header.has_zero_grains)) continue;
      visit(index, index * 512 + entry, grain_sector);
    }
  }
}

// The tables are known to be wrong: find out where, at the price of reading a marker for each grain.
[[noreturn]] void explain(const StreamLayout& layout, const GrainLedger& ledger, const ReadAt& read,
                          const std::string& name, const os::StopToken& stop) {
  walk_tables(layout, read, name, stop, [&](std::uint64_t table, std::uint64_t grain, std::uint64_t sector) {
    std::array<std::byte, kMarkerHead> marker;
    std::string where = "grain table " + std::to_string(table) + " puts grain " + std::to_string(grain) +
                        " at sector " + std::to_string(sector);
    if (grain % 65536 == 0) stop.throw_if_stopped();
    read(sector * kSectorSize, marker);
    if (load_little<std::uint32_t>(marker, 8) == 0 || load_little<std::uint64_t>(marker, 0) != grain * 128)
      damaged(name, where + ", where another one is");
  });
  damaged(name, "its grain tables do not agree with the grains in it (" +
                    std::to_string(ledger.grains_listed()) + " are listed, " +
                    std::to_string(ledger.grains_seen()) + " are there)");
}

}  // namespace

StreamLayout read_stream_layout(const ReadAt& read, std::uint64_t length, const std::string& name) {
  if (length < kSparseHeaderSize) damaged(name, "is too short to be a VMDK");
  std::array<std::byte, kSparseHeaderSize> bytes;
  read(0, bytes);
  StreamLayout layout;
  layout.length = length;
  layout.header = parse_sparse_header(bytes, name);
  if (layout.header.directory_offset == SparseHeader::kAtEnd) {
    // Footer and end marker are the last two sectors.
    if (length < 4 * kSectorSize || length % kSectorSize != 0) damaged(name, "ends before its footer");
    read(length - 2 * kSectorSize, bytes);
    if (!has_sparse_magic(bytes)) damaged(name, "has no footer where its end should be: it is truncated");
    SparseHeader footer = parse_sparse_header(bytes, name);
    if (footer.capacity != layout.header.capacity || footer.grain_size != layout.header.grain_size ||
        footer.table_entries != layout.header.table_entries)
      damaged(name, "has a footer that contradicts its header");
    if (footer.directory_offset == SparseHeader::kAtEnd)
      damaged(name, "says in its footer too that its grain directory is elsewhere");
    layout.header.directory_offset = footer.directory_offset;
    layout.has_footer = true;
  }
  const std::uint64_t tables = divide_up<std::uint64_t>(layout.grains(), layout.header.table_entries);
  const std::uint64_t directory = layout.header.directory_offset;
  if (directory == 0 || directory > length / kSectorSize || tables * 4 > length - directory * kSectorSize)
    damaged(name, "has its grain directory past the end of the file");
  if (layout.header.overhead == 0 || layout.header.overhead > length / kSectorSize)
    damaged(name, "has its first grain past the end of the file");
  return layout;
}

StreamLayout read_stream_layout(const LocatedFile& file) {
  return read_stream_layout(
      [&](std::uint64_t offset, std::span<std::byte> bytes) { file.read_exactly_at(offset, bytes); },
      file.length(), file.name());
}

GrainStream::GrainStream(const StreamLayout& layout, const std::string& name)
    : layout_(layout), name_(name), skip_(layout.header.overhead * kSectorSize) {}

void GrainStream::refuse(const std::string& problem) const { damaged(name_, problem); }

std::size_t GrainStream::parse(std::span<const std::byte> window, std::vector<Grain>& grains) {
  std::size_t done = 0;
  while (done < window.size()) {
    if (ended_) {
      done = window.size();
      break;
    }
    if (skip_ > 0) {
      std::size_t part = static_cast<std::size_t>(std::min<std::uint64_t>(skip_, window.size() - done));
      skip_ -= part;
      done += part;
      continue;
    }
    std::span<const std::byte> rest = window.subspan(done);
    if (rest.size() < kSectorSize) break;
    const std::uint64_t sector = (position_ + done) / kSectorSize;
    const std::uint64_t value = load_little<std::uint64_t>(rest, 0);
    const std::uint32_t size = load_little<std::uint32_t>(rest, 8);
    if (size != 0) {
      std::string where = "the grain at sector " + std::to_string(sector);
      if (size < kSmallestZlib || size > kLargestGrainRecord - kMarkerHead)
        refuse(where + " says that it is " + std::to_string(size) +
               " bytes long, and no compressed grain can be that");
      if (value % 128 != 0 || value >= layout_.header.capacity)
        refuse(where + " says that it belongs to sector " + std::to_string(value) +
               ", where no grain of this disk begins");
      const std::size_t record = round_up<std::size_t>(kMarkerHead + size, kSectorSize);
      if (rest.size() < record) break;
      grains.push_back(Grain{value / 128, sector, rest.subspan(kMarkerHead, size)});
      ledger_.saw_grain(value / 128, sector);
      done += record;
      continue;
    }
    const std::uint32_t type = load_little<std::uint32_t>(rest, 12);
    const std::uint64_t length = layout_.length;
    switch (type) {
      case kEndMarker:
        // All zeroes. qemu-img writes none, and pads with zeroes.
        if (!is_zero(rest.first(kSectorSize)))
          refuse("the marker at sector " + std::to_string(sector) + " makes no sense");
        ended_ = layout_.has_footer;
        break;
      case kTableMarker:
      case kDirectoryMarker:
      case kFooterMarker:
        if (value > (length - std::min(length, sector * kSectorSize)) / kSectorSize)
          refuse("the marker at sector " + std::to_string(sector) + " points past the end of the file");
        skip_ = value * kSectorSize;
        break;
      default:
        refuse("the marker at sector " + std::to_string(sector) + " is of a kind that does not exist (" +
               std::to_string(type) + ")");
    }
    done += kSectorSize;
  }
  position_ += done;
  return done;
}

void GrainStream::end() const {
  if (skip_ > 0 || position_ != layout_.length || (layout_.has_footer && !ended_))
    throw os::Error(os::ErrorKind::kInvalid, name_, "ends in the middle of its grains",
                    "The file is truncated: export or copy it again.");
}

void verify_grain_tables(const StreamLayout& layout, GrainLedger& ledger, const ReadAt& read,
                         const std::string& name, const os::StopToken& stop) {
  walk_tables(layout, read, name, stop, [&](std::uint64_t table, std::uint64_t grain, std::uint64_t sector) {
    if (sector * kSectorSize + kSectorSize > layout.length)
      damaged(name, "grain table " + std::to_string(table) + " points past the end of the file");
    if (grain >= layout.grains())
      damaged(name, "grain table " + std::to_string(table) + " lists a grain past the end of the disk");
    ledger.table_lists(grain, sector);
    // Also bounds what a directory that names one table a million times can make us do.
    if (ledger.grains_listed() > ledger.grains_seen()) explain(layout, ledger, read, name, stop);
  });
  if (!ledger.agree()) explain(layout, ledger, read, name, stop);
}

}  // namespace hyper2kvm::image
