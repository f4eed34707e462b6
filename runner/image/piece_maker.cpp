#include "runner/image/piece_maker.h"

#include <algorithm>
#include <cstring>

#include "runner/image/zeroes.h"

namespace hyper2kvm::image {

void PieceMaker::begin(ClusterPacker* packer) {
  packer_ = packer;
  pieces_.clear();
  used_ = 0;
}

void PieceMaker::add_plain(std::uint64_t guest_offset, std::span<const std::byte> bytes,
                           const std::function<void()>& before_packing, bool try_packing) {
  for (std::size_t at = 0; at < bytes.size(); at += kClusterSize) {
    const std::span<const std::byte> cluster = bytes.subspan(at, std::min(kClusterSize, bytes.size() - at));
    if (is_zero(cluster)) continue;
    if (packer_ != nullptr && try_packing && cluster.size() == kClusterSize) {
      before_packing();
      const std::span<std::byte> room = packed_.span().subspan(used_, kClusterSize - 1);
      if (std::size_t size = packer_->pack(cluster, room); size > 0) {
        pieces_.push_back(Piece{guest_offset + at, Piece::Encoding::kCompressed, room.first(size)});
        used_ += size;
        continue;
      }
    }
    if (!pieces_.empty() && pieces_.back().encoding == Piece::Encoding::kPlain &&
        pieces_.back().guest_offset + pieces_.back().bytes.size() == guest_offset + at &&
        pieces_.back().bytes.data() + pieces_.back().bytes.size() == cluster.data())
      pieces_.back().bytes = {pieces_.back().bytes.data(), pieces_.back().bytes.size() + cluster.size()};
    else
      pieces_.push_back(Piece{guest_offset + at, Piece::Encoding::kPlain, cluster});
  }
}

void PieceMaker::add_packed(std::uint64_t guest_offset, std::span<const std::byte> stream) {
  pieces_.push_back(Piece{guest_offset, Piece::Encoding::kCompressed, stream});
}

void PieceMaker::copy_packed(std::uint64_t guest_offset, std::span<const std::byte> stream) {
  const std::span<std::byte> room = packed_.span().subspan(used_, stream.size());
  std::memcpy(room.data(), stream.data(), stream.size());
  used_ += stream.size();
  add_packed(guest_offset, room);
}

}  // namespace hyper2kvm::image
