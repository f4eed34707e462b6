// Plain data in one file or several, one after the other on the disk.
#include <algorithm>
#include <vector>

#include "runner/image/block_source.h"
#include "runner/image/located_file.h"

namespace hyper2kvm::image {
namespace {

class FlatSource : public BlockSource {
 public:
  explicit FlatSource(const SourceImage& source) {
    std::uint64_t begin = 0;
    for (const FlatExtent& extent : source.extents) {
      // A member of an archive goes by its own name in messages.
      std::string name = extent.file == source.location.file ? source.location.name : std::string();
      parts_.push_back(
          Part{begin, LocatedFile(ImageLocation{extent.file, extent.offset, extent.length, name})});
      begin += extent.length;
    }
    end_ = begin;
  }

  os::File::Range next_data(std::uint64_t offset) override {
    while (offset < end_) {
      const Part& part = part_at(offset);
      os::File::Range range = part.file.next_data(offset - part.begin);
      if (range.length > 0) return {part.begin + range.offset, range.length};
      offset = part.begin + part.file.length();
    }
    return {end_, 0};
  }

  void read(unsigned, std::uint64_t offset, std::span<std::byte> bytes) override {
    while (!bytes.empty()) {
      const Part& part = part_at(offset);
      std::uint64_t in_part = offset - part.begin;
      std::size_t size =
          static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), part.file.length() - in_part));
      part.file.read_exactly_at(in_part, bytes.first(size));
      bytes = bytes.subspan(size);
      offset += size;
    }
  }

 private:
  struct Part {
    std::uint64_t begin;
    LocatedFile file;
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

}  // namespace

std::unique_ptr<BlockSource> open_flat_source(const SourceImage& source) {
  return std::make_unique<FlatSource>(source);
}

}  // namespace hyper2kvm::image
