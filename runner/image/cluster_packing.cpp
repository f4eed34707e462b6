#include "runner/image/cluster_packing.h"

#include <zstd.h>

#include <new>

namespace hyper2kvm::image {

void ClusterUnpacker::Free::operator()(ZSTD_DCtx_s* context) const { ZSTD_freeDCtx(context); }
void ClusterPacker::Free::operator()(ZSTD_CCtx_s* context) const { ZSTD_freeCCtx(context); }

bool ClusterUnpacker::unpack(ClusterCompression compression, std::span<const std::byte> packed,
                             std::span<std::byte> output, std::size_t& used) {
  if (compression == ClusterCompression::kDeflate)
    return inflater_.inflate_raw(packed, output, used) == output.size();
  if (!zstd_) zstd_.reset(ZSTD_createDCtx());
  if (!zstd_) throw std::bad_alloc();
  // In one go, so that nobody allocates the window that a frame asks for.
  used = ZSTD_findFrameCompressedSize(packed.data(), packed.size());
  if (ZSTD_isError(used) != 0) return false;
  return ZSTD_decompressDCtx(zstd_.get(), output.data(), output.size(), packed.data(), used) == output.size();
}

ClusterPacker::ClusterPacker(ClusterCompression compression, int level) : level_(level) {
  if (compression == ClusterCompression::kDeflate) {
    deflater_ = std::make_unique<Deflater>(level);
    return;
  }
  zstd_.reset(ZSTD_createCCtx());
  if (!zstd_) throw std::bad_alloc();
}

std::size_t ClusterPacker::pack(std::span<const std::byte> data, std::span<std::byte> output) {
  if (deflater_) return deflater_->deflate_raw(data, output);
  std::size_t size =
      ZSTD_compressCCtx(zstd_.get(), output.data(), output.size(), data.data(), data.size(), level_);
  return ZSTD_isError(size) != 0 ? 0 : size;
}

}  // namespace hyper2kvm::image
