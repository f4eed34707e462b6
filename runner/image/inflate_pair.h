// Inflates many small deflate streams in one thread, two at a time.
//
// What limits an inflater is waiting: for the table entry that says how long a codeword is, before the next
// one can be looked for, and for the processor to notice that it took a literal for a length. Two streams
// that have nothing to do with each other fill each other's waits, and a literal and a length take the same
// path. Measured on the grains of a disk with real files (Zen 5): 1.5 times as fast as libdeflate 1.14, which
// is what the copy of a checked stream spends its time with.
//
// It takes what compressors make and leaves the rest to libdeflate: what it does not take may still be sound.
// What it takes is what libdeflate takes, with the same contents; whoever uses it compares a checksum all the
// same. A processor that is no x86-64 with AVX2, BMI and BMI2 takes nothing.
//
// Source: RFC 1951.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

namespace hyper2kvm::image {

// One thread uses one.
class InflatePair {
 public:
  // The most that one stream may hold.
  static constexpr std::size_t kLargest = 64 * 1024;
  // The contents of stream number, good until the function returns; empty where it is none that is taken
  // here.
  using Inflated = std::function<void(std::size_t number, std::span<const std::byte> contents)>;

  InflatePair();
  ~InflatePair();
  InflatePair(InflatePair&&) noexcept;
  InflatePair& operator=(InflatePair&&) noexcept;

  // streams: raw deflate without anything behind it. Calls inflated for each, not in their order. What
  // inflated throws goes through.
  void inflate(std::span<const std::span<const std::byte>> streams, const Inflated& inflated);

 private:
  struct Lane;
  template <bool>
  class Run;
  std::unique_ptr<Lane[]> lanes_;
};

}  // namespace hyper2kvm::image
