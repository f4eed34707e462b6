#include "runner/image/conversion.h"

#include <algorithm>
#include <thread>

#include "runner/image/conversion_base.h"
#include "runner/image/edge.h"
#include "runner/image/located_file.h"
#include "runner/image/overlay.h"

namespace hyper2kvm::image {
namespace {

// More threads than this find no more work on one disk and only cost memory.
constexpr unsigned kMostThreads = 16;
// A thread that waits for the disk, or for its turn, does not inflate. With so many more than processors, a
// checked copy takes 0.85 of the time that it takes with two more; ten more gain nothing over it.
constexpr unsigned kWaitingThreads = 6;
constexpr int kUsualLevel = 6;

std::unique_ptr<Target> create_target(const SourceImage& source, const std::filesystem::path& path,
                                      const ConversionOptions& options) {
  switch (options.format) {
    case contract::OutputFormat::kQcow2:
      return create_qcow2_target(
          path, source.virtual_size,
          options.compress ? std::optional<ClusterCompression>(options.compression) : std::nullopt);
    case contract::OutputFormat::kRaw:
      return create_raw_target(path, source.virtual_size);
    case contract::OutputFormat::kVdi:
      return create_vdi_target(path, source.virtual_size);
  }
  throw os::Error(os::ErrorKind::kInternal, path.string(), "an output format that does not exist");
}

}  // namespace

unsigned usual_threads() {
  return std::min(std::max(1u, std::thread::hardware_concurrency()) + kWaitingThreads, kMostThreads);
}

ConversionBase::ConversionBase(const SourceImage& source, const std::filesystem::path& target,
                               const ConversionOptions& options)
    : source_(source),
      options_(options),
      name_(display_name(source.location)),
      target_name_(target.string()),
      target_(create_target(source, target, options)) {
  result_.virtual_size = source.virtual_size;
  result_.compressed = packing().has_value();
}

unsigned ConversionBase::threads() const {
  return options_.threads != 0 ? std::min(options_.threads, kMostThreads) : usual_threads();
}

std::optional<ClusterCompression> ConversionBase::packing() const {
  if (!options_.compress || options_.format != contract::OutputFormat::kQcow2) return std::nullopt;
  return options_.compression;
}

int ConversionBase::level() const { return options_.compress_level.value_or(kUsualLevel); }

void ConversionBase::deliver(std::span<const Piece> pieces, std::uint64_t weight, OrderedCrew& crew,
                             OrderedCrew::Turn& turn) {
  std::vector<Placed> placed;
  turn.take();
  target_->place(pieces, placed);
  turn.give_back();
  if (limiter() != nullptr) {
    std::uint64_t bytes = 0;
    for (const Placed& part : placed) bytes += part.bytes.size();
    limit_rate(bytes, crew);
  }
  target_->write(placed);
  count_done(weight);
}

void ConversionBase::limit_rate(std::uint64_t bytes, OrderedCrew& crew) {
  if (limiter() != nullptr && bytes > 0) limiter()->pass(bytes, [&] { crew.throw_if_failed(); });
}

void ConversionBase::copy(const Progress& progress, const os::StopToken& stop) {
  at_edge(name_, [&] {
    target_->stop_with(stop);
    copy_disk(progress, stop);
    target_->flush();
    if (options_.expected_sha256 && result_.source_sha256 != *options_.expected_sha256)
      throw os::Error(
          os::ErrorKind::kInvalid, name_,
          "its SHA-256 is " + result_.source_sha256 + ", and " + *options_.expected_sha256 + " was promised",
          "The file was changed or damaged on its way: export or copy it again.");
  });
}

void ConversionBase::apply_overlay(const std::filesystem::path& overlay, const os::StopToken& stop) {
  at_edge(target_name_, [&] {
    OverlayReader reader(overlay);
    if (reader.virtual_size() != source_.virtual_size)
      throw os::Error(os::ErrorKind::kInternal, overlay.string(),
                      "the overlay's size is not the disk's: " + std::to_string(reader.virtual_size()) +
                          " and " + std::to_string(source_.virtual_size));
    result_.overlay_bytes += reader.apply_to(*target_, stop, limiter());
  });
}

ConversionResult ConversionBase::finish() {
  return at_edge(target_name_, [&] {
    result_.file_size = target_->finish();
    return result_;
  });
}

std::unique_ptr<Conversion> Conversion::create(const SourceImage& source, const std::filesystem::path& target,
                                               const ConversionOptions& options) {
  return at_edge(target.string(), [&] {
    if (source.layout == Layout::kStreamOptimized) return create_stream_conversion(source, target, options);
    return create_block_conversion(source, target, options);
  });
}

}  // namespace hyper2kvm::image
