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
// A thread that waits for the disk does not inflate. More than so many beyond the processors gain nothing and
// take memory, which costs a checked copy a twentieth of its time.
constexpr unsigned kWaitingThreads = 2;
// Jobs that can lie by, for their turn or to be written, while every thread has another one.
constexpr unsigned kJobsAhead = 8;
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

unsigned ConversionBase::slots() const { return threads() + kJobsAhead; }

std::optional<ClusterCompression> ConversionBase::packing() const {
  if (!options_.compress || options_.format != contract::OutputFormat::kQcow2) return std::nullopt;
  return options_.compression;
}

std::vector<std::unique_ptr<ClusterPacker>> ConversionBase::make_packers() const {
  std::vector<std::unique_ptr<ClusterPacker>> packers(threads());
  if (packing())
    for (std::unique_ptr<ClusterPacker>& packer : packers)
      packer = std::make_unique<ClusterPacker>(*packing(), options_.compress_level.value_or(kUsualLevel));
  return packers;
}

class ConversionBase::Delivery : public OrderedCrew::Job {
 public:
  Delivery(ConversionBase& conversion, OrderedCrew& crew, std::uint64_t weight, Prepare prepare)
      : conversion_(conversion), crew_(crew), weight_(weight), prepare_(std::move(prepare)) {}

  void prepare(unsigned worker, unsigned slot) override { pieces_ = prepare_(worker, slot); }
  void place() override { conversion_.target_->place(pieces_, placed_); }
  void write() override {
    if (conversion_.limiter() != nullptr) {
      std::uint64_t bytes = 0;
      for (const Placed& part : placed_) bytes += part.bytes.size();
      conversion_.limit_rate(bytes, crew_);
    }
    conversion_.target_->write(placed_);
    conversion_.count_done(weight_);
  }

 private:
  ConversionBase& conversion_;
  OrderedCrew& crew_;
  const std::uint64_t weight_;
  const Prepare prepare_;
  std::span<const Piece> pieces_;
  std::vector<Placed> placed_;
};

void ConversionBase::submit(OrderedCrew& crew, std::uint64_t weight, Prepare prepare) {
  crew.submit(std::make_unique<Delivery>(*this, crew, weight, std::move(prepare)));
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
