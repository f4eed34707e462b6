// What every Conversion does in the same way: making the target, delivering pieces to it, applying the
// overlay, finishing.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "runner/image/cluster_packing.h"
#include "runner/image/conversion.h"
#include "runner/image/ordered_crew.h"
#include "runner/image/target.h"

namespace hyper2kvm::image {

class ConversionBase : public Conversion {
 public:
  ConversionBase(const SourceImage& source, const std::filesystem::path& target,
                 const ConversionOptions& options);
  void copy(const Progress& progress, const os::StopToken& stop) final;
  void apply_overlay(const std::filesystem::path& overlay, const os::StopToken& stop) final;
  ConversionResult finish() final;

 protected:
  // Fills the target, and result() with what was read and its SHA-256 where it was computed on the way.
  virtual void copy_disk(const Progress& progress, const os::StopToken& stop) = 0;
  const SourceImage& source() const { return source_; }
  const ConversionOptions& options() const { return options_; }
  const std::string& name() const { return name_; }  // of the source, for messages
  ConversionResult& result() { return result_; }
  unsigned threads() const;
  unsigned slots() const;  // of an OrderedCrew of so many threads
  // How the target's clusters are packed; none where they are plain.
  std::optional<ClusterCompression> packing() const;
  // One for each thread; as many nulls where clusters are plain.
  std::vector<std::unique_ptr<ClusterPacker>> make_packers() const;
  RateLimiter* limiter() const { return options_.limiter.get(); }  // null where there is no limit

  // Makes a job's pieces, which stay where they are until the job is written; see OrderedCrew::Job::prepare.
  using Prepare = std::function<std::span<const Piece>(unsigned worker, unsigned slot)>;
  // Has pieces of the target made, placed and written. weight: what they count for in done().
  void submit(OrderedCrew& crew, std::uint64_t weight, Prepare prepare);
  // Holds a transfer back until the rate limit allows it. Throws what stops the crew meanwhile.
  void limit_rate(std::uint64_t bytes, OrderedCrew& crew);
  void count_done(std::uint64_t weight) { done_.fetch_add(weight, std::memory_order_relaxed); }
  std::uint64_t done() const { return done_.load(std::memory_order_relaxed); }

 private:
  class Delivery;
  SourceImage source_;
  ConversionOptions options_;
  std::string name_;
  std::string target_name_;
  std::unique_ptr<Target> target_;
  std::atomic<std::uint64_t> done_{0};
  ConversionResult result_;
};

// Layout::kStreamOptimized.
std::unique_ptr<Conversion> create_stream_conversion(const SourceImage& source,
                                                     const std::filesystem::path& target,
                                                     const ConversionOptions& options);
// The others.
std::unique_ptr<Conversion> create_block_conversion(const SourceImage& source,
                                                    const std::filesystem::path& target,
                                                    const ConversionOptions& options);

}  // namespace hyper2kvm::image
