// Inflates many small zlib streams and compares their Adler-32: the fast way, and by libdeflate what that
// leaves.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "runner/image/deflate.h"
#include "runner/image/inflate_pair.h"

namespace hyper2kvm::image {

// One thread uses one.
class ZlibBatch {
 public:
  static constexpr std::size_t kLargest = InflatePair::kLargest;
  // As InflatePair::Inflated; empty where the stream is damaged or holds more than kLargest.
  using Inflated = InflatePair::Inflated;

  // Calls inflated for each of streams, not in their order. What it throws goes through.
  void inflate(std::span<const std::span<const std::byte>> streams, const Inflated& inflated);

 private:
  InflatePair pair_;
  Inflater inflater_;
  std::vector<std::span<const std::byte>> parts_;
  std::vector<std::byte> contents_ = std::vector<std::byte>(kLargest);
};

}  // namespace hyper2kvm::image
