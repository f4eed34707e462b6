#include "operator/conversion/children.h"

#include <gtest/gtest.h>

namespace hyper2kvm::conversion {
namespace {

using kube::Json;

TEST(JobView, KnowsHowTheJobEnded) {
  Json job = Json::parse(R"({"metadata": {"name": "j", "namespace": "n", "uid": "u",
      "labels": {"hyper2kvm.io/conversion-uid": "c"}, "annotations": {"hyper2kvm.io/conversion": "web"}}})");
  JobView view = read_job(job);
  EXPECT_EQ(view.key.to_string(), "n/j");
  EXPECT_EQ(view.conversion_uid, "c");
  EXPECT_EQ(view.conversion_name, "web");
  EXPECT_FALSE(view.is_finished());
  job["status"]["conditions"] = Json::parse(
      R"([{"type": "Complete", "status": "False"},
          {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "m"}])");
  view = read_job(job);
  EXPECT_TRUE(view.is_failed);
  EXPECT_FALSE(view.is_complete);
  EXPECT_EQ(view.failure_reason, "BackoffLimitExceeded");
  job["status"]["conditions"] = Json::parse(R"([{"type": "Complete", "status": "True"}])");
  EXPECT_TRUE(read_job(job).is_complete);
}

TEST(PodView, KnowsWhereThePodIsAndWhatItsContainerDoes) {
  Json pod = Json::parse(R"({"metadata": {"name": "p", "namespace": "n", "labels": {"job-name": "j"}},
      "spec": {"nodeName": "node1"}, "status": {"phase": "Running", "containerStatuses": [
      {"name": "sidecar", "state": {"terminated": {"exitCode": 9}}},
      {"name": "runner", "state": {"running": {}}}]}})");
  PodView view = read_pod(pod);
  EXPECT_EQ(view.job_name, "j");
  EXPECT_EQ(view.node, "node1");
  EXPECT_TRUE(view.has_started);
  EXPECT_FALSE(view.terminated);
  pod["status"]["containerStatuses"][1]["state"] =
      Json::parse(R"({"terminated": {"exitCode": 1, "reason": "Error", "message": "m"}})");
  view = read_pod(pod);
  ASSERT_TRUE(view.terminated);
  EXPECT_EQ(view.terminated->exit_code, 1);
  EXPECT_EQ(view.terminated->message, "m");
  pod["status"]["containerStatuses"][1]["state"] =
      Json::parse(R"({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})");
  EXPECT_EQ(read_pod(pod).waiting_reason, "ImagePullBackOff");
  pod["metadata"]["labels"] = {{"batch.kubernetes.io/job-name", "new"}};
  EXPECT_EQ(read_pod(pod).job_name, "new");
}

TEST(PodView, KnowsThatNoNodeTakesThePod) {
  PodView view = read_pod(Json::parse(R"({"status": {"conditions": [
      {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]}})"));
  EXPECT_TRUE(view.is_unschedulable);
  EXPECT_EQ(view.scheduling_message, "0/1 nodes");
}

TEST(ClaimView, KnowsItsModeAndWhoseItIs) {
  ClaimView view = read_claim(Json::parse(R"({"metadata": {"name": "c", "uid": "u",
      "labels": {"hyper2kvm.io/conversion-uid": "x"}, "deletionTimestamp": "2026-01-31T12:00:00Z"},
      "spec": {"volumeMode": "Block"}})"));
  EXPECT_TRUE(view.is_block);
  EXPECT_TRUE(view.is_being_deleted);
  EXPECT_EQ(view.conversion_uid, "x");
}

TEST(Views, OfStrangeObjectsAreEmpty) {
  for (const char* text :
       {"{}", "[]", "7", R"({"metadata": 1, "spec": [], "status": "x"})",
        R"({"status": {"containerStatuses": [1, {"name": "runner", "state": 3}], "conditions": {}}})"}) {
    EXPECT_EQ(read_pod(Json::parse(text)).terminated, std::nullopt) << text;
    EXPECT_FALSE(read_job(Json::parse(text)).is_finished()) << text;
    EXPECT_EQ(read_claim(Json::parse(text)).uid, "") << text;
  }
}

}  // namespace
}  // namespace hyper2kvm::conversion
