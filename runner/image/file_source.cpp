// Disks that we read ourselves: plain data, and blocks behind a map, in one file or several.
#include <algorithm>
#include <mutex>
#include <vector>

#include "runner/image/block_map.h"
#include "runner/image/block_source.h"
#include "runner/image/cluster_packing.h"
#include "runner/image/located_file.h"
#include "runner/image/refusal.h"
#include "runner/os/error.h"

namespace hyper2kvm::image {
namespace {

// One answer of next_data at most: what is behind it can be read meanwhile.
constexpr std::uint64_t kLongestRange = 256u << 20;
constexpr std::uint64_t kLargestCluster = 2u << 20;

class FlatSource : public BlockSource {
 public:
  explicit FlatSource(const ImageLocation& location) : file_(location) {}
  os::File::Range next_data(std::uint64_t offset) override { return file_.next_data(offset); }
  void read(unsigned, std::uint64_t offset, std::span<std::byte> bytes) override {
    file_.read_exactly_at(offset, bytes);
  }
  void end() override { file_.expect_whole(); }

 private:
  LocatedFile file_;
};

class MappedSource : public BlockSource {
 public:
  MappedSource(std::unique_ptr<BlockMap> map, unsigned readers, const os::StopToken& stop)
      : map_(std::move(map)), readers_(readers), stop_(stop) {}

  os::File::Range next_data(std::uint64_t offset) override {
    std::lock_guard lock(mutex_);
    const std::uint64_t end = map_->virtual_size();
    std::uint64_t begin = end;
    while (offset < end) {
      stop_.throw_if_stopped();
      const Mapping mapping = map_->at(offset);
      count(mapping, offset);
      if (mapping.kind == Mapping::Kind::kHole) {
        if (begin != end) break;
      } else {
        begin = std::min(begin, offset);
      }
      offset += mapping.length;
      if (begin != end && offset - begin >= kLongestRange) break;
    }
    return {begin, begin == end ? 0 : offset - begin};
  }

  void read(unsigned reader, std::uint64_t offset, std::span<std::byte> bytes) override {
    while (!bytes.empty()) {
      const Mapping mapping = at(offset);
      const std::size_t size =
          static_cast<std::size_t>(std::min<std::uint64_t>(mapping.length, bytes.size()));
      std::span<std::byte> part = bytes.first(size);
      switch (mapping.kind) {
        case Mapping::Kind::kHole:
          std::fill(part.begin(), part.end(), std::byte{0});
          break;
        case Mapping::Kind::kData:
          read_data(mapping, part);
          break;
        case Mapping::Kind::kCompressed:
          read_compressed(readers_[reader], mapping, offset, part);
          break;
      }
      bytes = bytes.subspan(size);
      offset += size;
    }
  }

  void end() override { map_->file().expect_whole(); }

  bool has_packed(ClusterCompression compression) const override {
    return map_->cluster_size() == kClusterSize && map_->compression() == compression;
  }

  std::size_t read_packed(unsigned reader, std::uint64_t offset, std::span<std::byte> packed,
                          std::span<std::byte> plain) override {
    const Mapping mapping = at(offset);
    if (mapping.kind != Mapping::Kind::kCompressed) return 0;
    Reader& own = readers_[reader];
    const std::size_t used = unpack(own, mapping, offset, plain);
    if (used <= packed.size()) std::copy_n(own.packed.begin(), used, packed.begin());
    return used;
  }

 private:
  struct Reader {
    ClusterUnpacker unpacker;
    std::vector<std::byte> packed;
    std::vector<std::byte> cluster;
  };

  // Blocks have places of their own, so together they are no longer than the file. A small file whose tables
  // name the same blocks again and again would fill any target.
  void count(const Mapping& mapping, std::uint64_t offset) {
    if (offset < counted_to_) return;
    counted_to_ = offset + mapping.length;
    if (mapping.kind == Mapping::Kind::kData) counted_ += mapping.length;
    // A stream ends somewhere in its last sector.
    if (mapping.kind == Mapping::Kind::kCompressed)
      counted_ += mapping.stored_size - std::min<std::uint64_t>(mapping.stored_size, 511);
    // The last cluster of a file need not be complete.
    if (counted_ > map_->file().length() + kLargestCluster)
      refuse(map_->file().name(), "has tables that use the same part of the file more than once");
  }

  Mapping at(std::uint64_t offset) {
    std::lock_guard lock(mutex_);
    return map_->at(offset);
  }

  void read_data(const Mapping& mapping, std::span<std::byte> part) const {
    const LocatedFile& file = map_->file();
    // Only a qcow2 may say data where the file has ended: its last cluster need not be complete.
    const std::size_t there =
        static_cast<std::size_t>(std::min<std::uint64_t>(part.size(), file.length() - mapping.file_offset));
    file.read_exactly_at(mapping.file_offset, part.first(there));
    std::fill(part.begin() + static_cast<std::ptrdiff_t>(there), part.end(), std::byte{0});
  }

  // Reads the stream into reader.packed and the cluster into output; the length of the stream.
  std::size_t unpack(Reader& reader, const Mapping& mapping, std::uint64_t offset,
                     std::span<std::byte> output) const {
    reader.packed.resize(static_cast<std::size_t>(mapping.stored_size));
    map_->file().read_exactly_at(mapping.file_offset, reader.packed);
    std::size_t used = 0;
    if (!reader.unpacker.unpack(map_->compression(), reader.packed, output, used))
      refuse(map_->file().name(),
             "its compressed cluster for byte " + std::to_string(offset) + " of the disk is damaged");
    return used;
  }

  void read_compressed(Reader& reader, const Mapping& mapping, std::uint64_t offset,
                       std::span<std::byte> part) const {
    const std::uint64_t cluster = map_->cluster_size();
    if (part.size() == cluster) {
      unpack(reader, mapping, offset, part);
      return;
    }
    reader.cluster.resize(static_cast<std::size_t>(cluster));
    unpack(reader, mapping, offset, reader.cluster);
    std::copy_n(reader.cluster.begin() + static_cast<std::ptrdiff_t>(offset % cluster), part.size(),
                part.begin());
  }

  std::mutex mutex_;  // guards map_'s at()
  std::unique_ptr<BlockMap> map_;
  std::vector<Reader> readers_;
  const os::StopToken stop_;
  // By who asks for next_data() alone: up to where the disk was counted, and how much of the file it takes
  // up.
  std::uint64_t counted_to_ = 0;
  std::uint64_t counted_ = 0;
};

// Parts one after the other.
class JoinedSource : public BlockSource {
 public:
  void add(std::unique_ptr<BlockSource> part, std::uint64_t size) {
    parts_.push_back(Part{end_, size, std::move(part)});
    end_ += size;
  }

  os::File::Range next_data(std::uint64_t offset) override {
    while (offset < end_) {
      const Part& part = part_at(offset);
      os::File::Range range = part.source->next_data(offset - part.begin);
      if (range.length > 0) return {part.begin + range.offset, range.length};
      offset = part.begin + part.size;
    }
    return {end_, 0};
  }

  void read(unsigned reader, std::uint64_t offset, std::span<std::byte> bytes) override {
    while (!bytes.empty()) {
      const Part& part = part_at(offset);
      const std::uint64_t in_part = offset - part.begin;
      const std::size_t size =
          static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), part.size - in_part));
      part.source->read(reader, in_part, bytes.first(size));
      bytes = bytes.subspan(size);
      offset += size;
    }
  }

  void end() override {
    for (const Part& part : parts_) part.source->end();
  }

 private:
  struct Part {
    std::uint64_t begin;
    std::uint64_t size;
    std::unique_ptr<BlockSource> source;
  };
  // offset must be below end_.
  const Part& part_at(std::uint64_t offset) const {
    auto after = std::upper_bound(parts_.begin(), parts_.end(), offset,
                                  [](std::uint64_t value, const Part& part) { return value < part.begin; });
    return *std::prev(after);
  }
  std::vector<Part> parts_;
  std::uint64_t end_ = 0;
};

std::unique_ptr<BlockMap> open_map(contract::SourceFormat format, const ImageLocation& location) {
  switch (format) {
    case contract::SourceFormat::kVmdk:
      return open_vmdk_map(location);
    case contract::SourceFormat::kQcow2:
      return open_qcow2_map(location);
    case contract::SourceFormat::kVhd:
      return open_vhd_map(location);
    case contract::SourceFormat::kVhdx:
      return open_vhdx_map(location);
    case contract::SourceFormat::kVdi:
      return open_vdi_map(location);
    case contract::SourceFormat::kRaw:
      break;
  }
  throw os::Error(os::ErrorKind::kInternal, display_name(location), "there is no map in this format");
}

std::unique_ptr<BlockSource> open_extent(const SourceImage& source, const SourceExtent& extent,
                                         unsigned readers, const os::StopToken& stop) {
  // A member of an archive goes by its own name in messages.
  const std::string name = extent.file == source.location.file ? source.location.name : std::string();
  ImageLocation location{extent.file, extent.offset, extent.length, name};
  if (!extent.mapped) return std::make_unique<FlatSource>(location);
  std::unique_ptr<BlockMap> map = open_map(source.format, location);
  if (map->virtual_size() != extent.virtual_size)
    refuse(display_name(location), "has changed since it was first looked at",
           "Start the conversion again when nobody writes to it.");
  return std::make_unique<MappedSource>(std::move(map), readers, stop);
}

}  // namespace

std::unique_ptr<BlockSource> open_file_source(const SourceImage& source, unsigned readers,
                                              const os::StopToken& stop) {
  if (source.extents.size() == 1) return open_extent(source, source.extents[0], readers, stop);
  auto joined = std::make_unique<JoinedSource>();
  for (const SourceExtent& extent : source.extents)
    joined->add(open_extent(source, extent, readers, stop), extent.virtual_size);
  return joined;
}

}  // namespace hyper2kvm::image
