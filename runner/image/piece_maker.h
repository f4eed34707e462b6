// From the plain contents of a disk to the pieces that its target wants: zeroes dropped, neighbours joined,
// clusters packed where the target is packed.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "runner/image/cluster_packing.h"
#include "runner/image/target.h"
#include "runner/image/target_file.h"

namespace hyper2kvm::image {

// One thread at a time uses one.
class PieceMaker {
 public:
  // room: the most bytes of the disk between two begin(). packs: whether the target takes packed clusters.
  PieceMaker(std::size_t room, bool packs) : packed_(packs ? room : 0) {}
  // Forgets the pieces. packer: of who makes the next ones; null where the target takes plain clusters.
  void begin(ClusterPacker* packer);
  // bytes begins at a multiple of kClusterSize, is whole clusters but for the end of the disk, and stays
  // where it is until the pieces are written. try_packing: false where it is known not to shrink.
  // before_packing is called for each cluster that is packed, which takes a while at the highest level; it
  // throws to end that.
  void add_plain(std::uint64_t guest_offset, std::span<const std::byte> bytes,
                 const std::function<void()>& before_packing, bool try_packing = true);
  // A cluster that is packed already as the target wants it; stays where it is until it is written.
  void add_packed(std::uint64_t guest_offset, std::span<const std::byte> stream);
  // The same for a stream whose memory is used for something else before that.
  void copy_packed(std::uint64_t guest_offset, std::span<const std::byte> stream);
  std::span<const Piece> pieces() const { return pieces_; }

 private:
  ClusterPacker* packer_ = nullptr;
  AlignedBuffer packed_;
  std::size_t used_ = 0;  // of packed_
  std::vector<Piece> pieces_;
};

}  // namespace hyper2kvm::image
