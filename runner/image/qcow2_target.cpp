// qcow2: clusters are taken as pieces come, zero clusters are not there at all.
#include <algorithm>
#include <array>

#include "runner/image/byte_order.h"
#include "runner/image/qcow2_format.h"
#include "runner/image/qcow2_tables.h"
#include "runner/image/target.h"
#include "runner/image/zeroes.h"
#include "runner/os/error.h"

namespace hyper2kvm::image {
namespace {

constexpr std::array<std::byte, kClusterSize> kZeroes{};

class Qcow2Target : public Target {
 public:
  Qcow2Target(const std::filesystem::path& path, std::uint64_t virtual_size,
              std::optional<ClusterCompression> compression)
      : Target(path, virtual_size, compression.has_value()),
        tables_(file_, virtual_size, compression.value_or(ClusterCompression::kDeflate)) {}

  void place(std::span<const Piece> pieces, std::vector<Placed>& placed) override {
    // Compressed pieces first, so that plain ones between them do not end the cluster they are packed into.
    for (const Piece& piece : pieces) {
      if (piece.encoding != Piece::Encoding::kCompressed) continue;
      std::uint64_t cluster = free_cluster(piece.guest_offset);
      const std::uint64_t open = tables_.packed_end();
      const std::uint64_t offset = tables_.take_packed(piece.bytes.size());
      // A cluster that is given up is filled, so that what is collected with it need not wait for more.
      if (open % kClusterSize != 0 && offset != open)
        placed.push_back(Placed{open, std::span(kZeroes).first(kClusterSize - open % kClusterSize)});
      tables_.set_entry(cluster, Qcow2Tables::packed_entry(offset, piece.bytes.size()));
      placed.push_back(Placed{offset, piece.bytes});
    }
    for (const Piece& piece : pieces) {
      if (piece.encoding != Piece::Encoding::kPlain) continue;
      std::uint64_t clusters = divide_up<std::uint64_t>(piece.bytes.size(), kClusterSize);
      std::uint64_t offset = tables_.take_clusters(clusters);
      for (std::uint64_t i = 0; i < clusters; ++i)
        tables_.set_entry(free_cluster(piece.guest_offset + i * kClusterSize),
                          Qcow2Tables::plain_entry(offset + i * kClusterSize));
      placed.push_back(Placed{offset, piece.bytes});
    }
    if (!placed.empty()) file_.expect_growth(placed.back().file_offset + placed.back().bytes.size());
  }

  void overwrite(std::uint64_t guest_offset, std::span<const std::byte> bytes) override {
    for (std::size_t done = 0; done < bytes.size(); done += kClusterSize) {
      std::span<const std::byte> cluster = bytes.subspan(done, std::min(kClusterSize, bytes.size() - done));
      std::uint64_t number = inside((guest_offset + done) / kClusterSize);
      if (is_zero(cluster)) {
        zero_cluster(number);
        continue;
      }
      std::uint64_t entry = tables_.entry(number);
      // In place where the cluster is plain: it is used by nobody else.
      if (entry == 0 || (entry & qcow2::kCompressed) != 0) {
        drop(entry);
        entry = Qcow2Tables::plain_entry(tables_.take_clusters(1));
        tables_.set_entry(number, entry);
      }
      file_.write_at(entry & qcow2::kOffsetMask, cluster);
    }
  }

  void zero(std::uint64_t guest_offset, std::uint64_t length) override {
    std::uint64_t end =
        std::min(tables_.guest_clusters(), divide_up<std::uint64_t>(guest_offset + length, kClusterSize));
    for (std::uint64_t cluster = guest_offset / kClusterSize; cluster < end; ++cluster) zero_cluster(cluster);
  }

  std::uint64_t finish() override {
    tables_.write_out();
    return file_.finish();
  }

 private:
  std::uint64_t inside(std::uint64_t cluster) const {
    if (cluster >= tables_.guest_clusters())
      throw os::Error(os::ErrorKind::kInvalid, file_.path().string(), "data past the end of the disk");
    return cluster;
  }

  std::uint64_t free_cluster(std::uint64_t guest_offset) {
    std::uint64_t cluster = inside(guest_offset / kClusterSize);
    if (tables_.entry(cluster) != 0)
      throw os::Error(
          os::ErrorKind::kInvalid, file_.path().string(),
          "the source holds the data at byte " + std::to_string(guest_offset) + " of its disk more than once",
          "The export is damaged: export the machine again.");
    return cluster;
  }

  void zero_cluster(std::uint64_t cluster) {
    std::uint64_t entry = tables_.entry(cluster);
    if (entry == 0) return;
    drop(entry);
    tables_.set_entry(cluster, 0);
  }

  // Gives the clusters behind an entry back to the file system.
  void drop(std::uint64_t entry) {
    if (entry == 0) return;
    std::vector<std::uint64_t> freed;
    tables_.release(entry, freed);
    for (std::uint64_t offset : freed)
      if (offset + kClusterSize <= file_.size()) file_.zero_at(offset, kClusterSize);
  }

  Qcow2Tables tables_;
};

}  // namespace

std::unique_ptr<Target> create_qcow2_target(const std::filesystem::path& path, std::uint64_t virtual_size,
                                            std::optional<ClusterCompression> compression) {
  return std::make_unique<Qcow2Target>(path, virtual_size, compression);
}

}  // namespace hyper2kvm::image
