#include "operator/conversion/conversion_metrics.h"

#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include "operator/kube/timestamp.h"

namespace hyper2kvm::conversion {
namespace {

class FromCache final : public prometheus::Collectable {
 public:
  explicit FromCache(const kube::Cache<KeptConversion>& conversions) : conversions_(conversions) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    prometheus::MetricFamily phases{
        "hyper2kvm_conversions", "Conversions by phase.", prometheus::MetricType::Gauge, {}};
    prometheus::MetricFamily progress{"hyper2kvm_conversion_progress_ratio",
                                      "Done share of the stage that runs, from 0 to 1.",
                                      prometheus::MetricType::Gauge,
                                      {}};
    std::map<Phase, double> counts;
    for (const auto& kept : conversions_.list()) {
      counts[kept->phase() == Phase::kNone ? Phase::kPending : kept->phase()] += 1;
      if (kept->open() == nullptr) continue;
      const auto& running = kept->open()->status.progress;
      if (!running || running->total_bytes <= 0) continue;
      prometheus::ClientMetric metric;
      metric.label = {{"namespace", kept->key().name_space}, {"name", kept->key().name}};
      metric.gauge.value =
          std::min(1.0, static_cast<double>(running->done_bytes) / static_cast<double>(running->total_bytes));
      progress.metric.push_back(std::move(metric));
    }
    for (Phase phase : kAllPhases) {
      prometheus::ClientMetric metric;
      metric.label = {{"phase", std::string(to_string(phase))}};
      metric.gauge.value = counts[phase];
      phases.metric.push_back(std::move(metric));
    }
    return {std::move(phases), std::move(progress)};
  }

 private:
  const kube::Cache<KeptConversion>& conversions_;
};

}  // namespace

struct ConversionMetrics::Parts {
  std::shared_ptr<FromCache> from_cache;
  prometheus::Histogram* succeeded;
  prometheus::Histogram* failed;
  prometheus::Counter* bytes;
};

ConversionMetrics::ConversionMetrics(kube::Metrics& metrics, const kube::Cache<KeptConversion>& conversions)
    : parts_(std::make_unique<Parts>()) {
  parts_->from_cache = std::make_shared<FromCache>(conversions);
  metrics.add(parts_->from_cache);
  auto& durations = prometheus::BuildHistogram()
                        .Name("hyper2kvm_conversion_duration_seconds")
                        .Help("From the start of the first attempt to the end.")
                        .Register(metrics.registry());
  const prometheus::Histogram::BucketBoundaries bounds = {10,   30,   60,   120,   300,  600,
                                                          1800, 3600, 7200, 14400, 43200};
  parts_->succeeded = &durations.Add({{"result", "succeeded"}}, bounds);
  parts_->failed = &durations.Add({{"result", "failed"}}, bounds);
  parts_->bytes = &prometheus::BuildCounter()
                       .Name("hyper2kvm_conversion_bytes_total")
                       .Help("Size of the disks that were made.")
                       .Register(metrics.registry())
                       .Add({});
}

ConversionMetrics::~ConversionMetrics() = default;

void ConversionMetrics::count_end(const Status& status) {
  auto start = kube::parse_time(status.start_time), end = kube::parse_time(status.completion_time);
  if (start && end) {
    double seconds = std::max(0.0, std::chrono::duration<double>(*end - *start).count());
    (status.phase == Phase::kSucceeded ? parts_->succeeded : parts_->failed)->Observe(seconds);
  }
  for (const Artifact& artifact : status.artifacts)
    parts_->bytes->Increment(static_cast<double>(std::max<std::int64_t>(0, artifact.size_bytes)));
}

}  // namespace hyper2kvm::conversion
