// Packed clusters of a qcow2 image: deflate or zstd.
#pragma once

#include <memory>
#include <span>

#include "runner/image/compression.h"
#include "runner/image/deflate.h"

struct ZSTD_DCtx_s;
struct ZSTD_CCtx_s;

namespace hyper2kvm::image {

// One thread uses one of each.
class ClusterUnpacker {
 public:
  // packed may have other bytes behind the stream. False where it does not hold exactly output.size() bytes.
  // used is how long the stream is.
  bool unpack(ClusterCompression compression, std::span<const std::byte> packed, std::span<std::byte> output,
              std::size_t& used);

 private:
  struct Free {
    void operator()(ZSTD_DCtx_s* context) const;
  };
  Inflater inflater_;
  std::unique_ptr<ZSTD_DCtx_s, Free> zstd_;  // made when it is first needed
};

class ClusterPacker {
 public:
  // level: 1 to 9, as users give it.
  ClusterPacker(ClusterCompression compression, int level);
  // Returns the size of the stream, or 0 where it does not fit into output.
  std::size_t pack(std::span<const std::byte> data, std::span<std::byte> output);

 private:
  struct Free {
    void operator()(ZSTD_CCtx_s* context) const;
  };
  int level_;
  std::unique_ptr<Deflater> deflater_;
  std::unique_ptr<ZSTD_CCtx_s, Free> zstd_;
};

}  // namespace hyper2kvm::image
