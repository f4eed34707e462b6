// What every Conversion does in the same way: making the target, applying the overlay, finishing.
#pragma once

#include <memory>
#include <optional>

#include "runner/image/conversion.h"
#include "runner/image/rate_limiter.h"
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
  // Fills target(), and result() with what was read and its SHA-256 where it was computed on the way.
  virtual void copy_disk(const Progress& progress, const os::StopToken& stop) = 0;
  const SourceImage& source() const { return source_; }
  const ConversionOptions& options() const { return options_; }
  const std::string& name() const { return name_; }  // of the source, for messages
  Target& target() { return *target_; }
  ConversionResult& result() { return result_; }
  unsigned threads() const;
  // Returns when this many more bytes of the source may be read.
  void pace(std::uint64_t bytes, const os::StopToken& stop);
  bool writes_compressed() const;

 private:
  SourceImage source_;
  ConversionOptions options_;
  std::string name_;
  std::string target_name_;
  std::unique_ptr<Target> target_;
  std::optional<RateLimiter> limiter_;  // none: as fast as it goes
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
