#include "operator/conversion/conversion_metrics.h"

#include <gtest/gtest.h>

#include "tests/unit/conversion/samples.h"

namespace hyper2kvm::conversion {
namespace {

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

TEST(ConversionMetrics, CountTheConversionsOfEachPhase) {
  kube::Metrics metrics;
  kube::Cache<KeptConversion> cache([](Json&& object) { return KeptConversion(read_conversion(object)); });
  ConversionMetrics measures(metrics, cache);
  EXPECT_TRUE(has_line(metrics.text(), R"(hyper2kvm_conversions{phase="Failed"} 0)")) << metrics.text();

  kube::Cache<KeptConversion>::Part part(cache, "");
  Json fresh = sample_object(), running = sample_object();
  fresh["metadata"]["name"] = "fresh";
  Status status;
  status.phase = Phase::kRunning;
  status.progress = Progress{"convert", 1, 4, 0, {}};
  running["status"] = to_json(status);
  part.stage(std::move(fresh));
  part.stage(std::move(running));
  part.commit_staged();
  std::string text = metrics.text();
  EXPECT_TRUE(has_line(text, R"(hyper2kvm_conversions{phase="Pending"} 1)")) << text;
  EXPECT_TRUE(has_line(text, R"(hyper2kvm_conversions{phase="Running"} 1)")) << text;
  EXPECT_TRUE(has_line(text, R"(hyper2kvm_conversion_progress_ratio{namespace="vms",name="web"} 0.25)"))
      << text;
}

TEST(ConversionMetrics, MeasureWhatEnded) {
  kube::Metrics metrics;
  kube::Cache<KeptConversion> cache([](Json&& object) { return KeptConversion(read_conversion(object)); });
  ConversionMetrics measures(metrics, cache);
  Status status;
  status.phase = Phase::kSucceeded;
  status.start_time = "2026-01-31T12:00:00Z";
  status.completion_time = "2026-01-31T12:00:20Z";
  status.artifacts = {{"d", "c", "p", "raw", 4096}};
  measures.count_end(status);
  std::string text = metrics.text();
  EXPECT_TRUE(has_line(text, R"(hyper2kvm_conversion_duration_seconds_bucket{result="succeeded",le="10"} 0)"))
      << text;
  EXPECT_TRUE(
      has_line(text, R"(hyper2kvm_conversion_duration_seconds_bucket{result="succeeded",le="30"} 1)"));
  EXPECT_TRUE(has_line(text, "hyper2kvm_conversion_bytes_total 4096"));
}

}  // namespace
}  // namespace hyper2kvm::conversion
