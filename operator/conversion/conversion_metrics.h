// What dashboards want to know of conversions: hyper2kvm_conversions{phase},
// hyper2kvm_conversion_progress_ratio{namespace,name}, hyper2kvm_conversion_duration_seconds{result},
// hyper2kvm_conversion_bytes_total. The first two are told from the cache when they are asked for.
#pragma once

#include <memory>

#include "operator/conversion/kept_conversion.h"
#include "operator/kube/cache.h"
#include "operator/kube/metrics.h"

namespace hyper2kvm::conversion {

// Safe to call from any thread.
class ConversionMetrics {
 public:
  // Both must outlive it.
  ConversionMetrics(kube::Metrics& metrics, const kube::Cache<KeptConversion>& conversions);
  ~ConversionMetrics();
  ConversionMetrics(const ConversionMetrics&) = delete;
  ConversionMetrics& operator=(const ConversionMetrics&) = delete;

  // A conversion has reached its end.
  void count_end(const Status& status);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace hyper2kvm::conversion
