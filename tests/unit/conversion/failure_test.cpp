#include "operator/conversion/failure.h"

#include <gtest/gtest.h>

#include "tests/unit/conversion/samples.h"

namespace hyper2kvm::conversion {
namespace {

PodView pod() { return pod_of(sample()); }

TEST(ResultOf, APodThatRunsIsNothing) {
  EXPECT_FALSE(result_of(pod()));
  PodView pending = pod();
  pending.phase = "Pending";
  EXPECT_FALSE(result_of(pending));
}

TEST(ResultOf, ASuccessNamesTheDisks) {
  auto result = result_of(ended(pod(), 0, success_message()));
  ASSERT_TRUE(result && result->success);
  EXPECT_EQ(result->success->disks.at(0).path, "/output/web/disk-0.qcow2");
}

TEST(ResultOf, AFailureIsTheRunnersOwnSentence) {
  auto result = result_of(ended(pod(), 1, failure_message("convert", "web.vmdk: is damaged.", false)));
  ASSERT_TRUE(result && result->failure);
  EXPECT_EQ(result->failure->reason, "StageFailed");
  EXPECT_EQ(result->failure->stage, "convert");
  EXPECT_EQ(result->failure->message, "web.vmdk: is damaged.");
  EXPECT_FALSE(result->failure->may_pass);
  EXPECT_TRUE(result_of(ended(pod(), 1, failure_message("convert", "disk full.", true)))->failure->may_pass);
}

TEST(ResultOf, AnEndWithoutAResultIsToldByHowItEnded) {
  struct {
    const char* name;
    int exit_code;
    const char* container_reason;
    const char* pod_reason;
    const char* expected;
    bool may_pass;
  } cases[] = {{"out of memory", 137, "OOMKilled", "", "OOMKilled", false},
               {"killed", 137, "Error", "", "RunnerKilled", true},
               {"stopped by the node", 143, "Error", "", "RunnerKilled", true},
               {"evicted while it ran", 137, "Error", "Evicted", "Evicted", true},
               {"crashed", 139, "Error", "", "RunnerCrashed", true},
               {"a wrong command line", 2, "Error", "", "RunnerCrashed", false},
               {"no such program", 128, "ContainerCannotRun", "", "RunnerCannotStart", false},
               {"no result after a success", 0, "Completed", "", "RunnerCrashed", true}};
  for (const auto& one : cases) {
    PodView view = ended(pod(), one.exit_code, "the end of a log");
    view.terminated->reason = one.container_reason;
    view.reason = one.pod_reason;
    auto result = result_of(view);
    ASSERT_TRUE(result && result->failure) << one.name;
    EXPECT_EQ(result->failure->reason, one.expected) << one.name;
    EXPECT_EQ(result->failure->may_pass, one.may_pass) << one.name;
  }
}

TEST(ResultOf, APodThatFailedWithoutAContainerIsToldByItsReason) {
  PodView view = pod();
  view.phase = "Failed";
  view.reason = "Evicted";
  view.message = "the node was low on memory";
  auto result = result_of(view);
  ASSERT_TRUE(result && result->failure);
  EXPECT_EQ(result->failure->reason, "Evicted");
  EXPECT_NE(result->failure->message.find("low on memory"), std::string::npos);
  view.reason = "NodeLost";
  EXPECT_EQ(result_of(view)->failure->reason, "NodeLost");
}

TEST(ResultOf, AMessageThatLiesAboutSuccessIsNoSuccess) {
  EXPECT_TRUE(result_of(ended(pod(), 1, success_message()))->failure);
  EXPECT_TRUE(result_of(ended(pod(), 1, std::string(9000, 'x')))->failure);
  auto result = result_of(ended(pod(), 1, "\x1b[31m\x01 boom"));
  EXPECT_EQ(result->failure->message.find('\x1b'), std::string::npos)
      << "no control characters reach a terminal";
}

TEST(ObstacleOf, NamesWhatKeepsAPodFromStarting) {
  EXPECT_FALSE(obstacle_of(pod()));
  PodView view = pod();
  view.is_unschedulable = true;
  view.scheduling_message = "0/1 nodes are available";
  EXPECT_EQ(obstacle_of(view)->reason, "Unschedulable");
  EXPECT_NE(obstacle_of(view)->message.find("0/1 nodes"), std::string::npos);
  view = pod();
  view.waiting_reason = "ErrImagePull";
  EXPECT_EQ(obstacle_of(view)->reason, "ImagePullBackOff");
  view.waiting_reason = "CreateContainerConfigError";
  EXPECT_EQ(obstacle_of(view)->reason, "CreateContainerConfigError");
  view.waiting_reason = "ContainerCreating";
  EXPECT_FALSE(obstacle_of(view));
}

}  // namespace
}  // namespace hyper2kvm::conversion
