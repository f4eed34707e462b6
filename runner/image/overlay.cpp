#include "runner/image/overlay.h"

#include <algorithm>
#include <vector>

#include "runner/image/byte_order.h"
#include "runner/image/conversion.h"
#include "runner/image/edge.h"
#include "runner/image/qcow2_format.h"
#include "runner/image/qcow2_tables.h"

namespace hyper2kvm::image {
namespace {

[[noreturn]] void refuse(const os::File& file, const std::string& problem) {
  throw os::Error(os::ErrorKind::kInvalid, file.path().string(), problem,
                  "The overlay of the repair is damaged: start the conversion again.");
}

Qcow2Header read_header(const os::File& file) {
  std::vector<std::byte> window(kQcow2HeaderWindow);
  window.resize(file.read_at(0, window));
  Qcow2Header header = parse_qcow2_header(window, file.size(), file.path().string());
  if (header.version != 3 || header.cluster_bits != 16 || header.has_data_file || header.extended_l2)
    refuse(file, "is not an overlay that hyper2kvm has made");
  return header;
}

}  // namespace

OverlayReader::OverlayReader(const std::filesystem::path& path)
    : file_(os::File::open(path, os::File::Mode::kRead)), header_(read_header(file_)) {}

std::uint64_t OverlayReader::apply_to(Target& target, const os::StopToken& stop, RateLimiter* limiter) const {
  const std::uint64_t length = file_.size();
  auto read_cluster = [&](std::uint64_t offset, std::span<std::byte> bytes, const char* what) {
    if (offset % kClusterSize != 0 || offset > length || length - offset < 1)
      refuse(file_, std::string("has ") + what + " past the end of the file");
    // The last cluster of the file may be there only in part; what is not there is zeroes.
    std::size_t got = file_.read_at(offset, bytes);
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(got), bytes.end(), std::byte{0});
  };

  const std::uint64_t clusters = divide_up<std::uint64_t>(header_.virtual_size, kClusterSize);
  constexpr std::uint64_t kEntries = kClusterSize / 8;
  std::vector<std::byte> l1(header_.l1_size * std::size_t{8});
  file_.read_exactly_at(header_.l1_offset, l1);
  std::vector<std::byte> l2(kClusterSize);
  AlignedBuffer data(kClusterSize);
  std::uint64_t changed = 0;
  for (std::uint64_t first = 0; first < clusters; first += kEntries) {
    std::uint64_t table = load_big<std::uint64_t>(l1, static_cast<std::size_t>(first / kEntries * 8));
    if ((table & qcow2::kOffsetMask) == 0) continue;
    read_cluster(table & qcow2::kOffsetMask, l2, "an L2 table");
    const std::uint64_t last = std::min(first + kEntries, clusters);
    for (std::uint64_t cluster = first; cluster < last; ++cluster) {
      stop.throw_if_stopped();
      std::uint64_t entry = load_big<std::uint64_t>(l2, static_cast<std::size_t>((cluster - first) * 8));
      if (entry == 0) continue;
      if ((entry & qcow2::kCompressed) != 0) refuse(file_, "holds a compressed cluster");
      const std::uint64_t guest_offset = cluster * kClusterSize;
      const std::size_t size = static_cast<std::size_t>(
          std::min<std::uint64_t>(kClusterSize, header_.virtual_size - guest_offset));
      if ((entry & qcow2::kZero) != 0) {
        target.zero(guest_offset, size);
      } else {
        if ((entry & qcow2::kOffsetMask) == 0) continue;
        if (limiter != nullptr) limiter->pass(2 * size, [&] { stop.throw_if_stopped(); });
        read_cluster(entry & qcow2::kOffsetMask, data.span(), "a cluster");
        target.overwrite(guest_offset, data.span().first(size));
      }
      changed += size;
    }
  }
  return changed;
}

void create_overlay(const std::filesystem::path& path, std::uint64_t virtual_size) {
  at_edge(path.string(), [&] {
    TargetFile file(path);
    Qcow2Tables tables(file, virtual_size, ClusterCompression::kDeflate);
    tables.write_out();
    file.finish();
  });
}

}  // namespace hyper2kvm::image
