#include "operator/conversion/status.h"

#include <gtest/gtest.h>

namespace hyper2kvm::conversion {
namespace {

Status full() {
  Status status;
  status.observed_generation = 2;
  status.phase = Phase::kRunning;
  status.message = "m";
  status.attempts = 3;
  status.failures = 2;
  status.start_time = "2026-01-31T12:00:00Z";
  status.completion_time = "2026-01-31T12:00:01Z";
  status.next_retry_time = "2026-01-31T12:00:02Z";
  status.job_name = "j";
  status.job_uid = "u";
  status.node = "n";
  status.target = "t";
  status.failed_stage = "fix";
  status.progress = Progress{"convert", 1, 4, 2, 3};
  status.artifacts = {{"d", "c", "p", "qcow2", 7}};
  status.conditions = {{"Ready", "False", "R", "m", 2, "2026-01-31T12:00:00Z"}};
  return status;
}

TEST(Status, IsReadAsItWasWritten) {
  EXPECT_EQ(read_status({{"status", to_json(full())}}), full());
  EXPECT_EQ(read_status({{"status", to_json(Status{})}}), Status{});
  EXPECT_EQ(read_status(kube::Json::object()), Status{});
}

TEST(Status, AMergePatchTakesAwayWhatIsNotSetAnyMore) {
  kube::Json object = {{"status", to_json(full())}};
  Status without = full();
  without.job_name = without.failed_stage = "";
  without.progress.reset();
  without.artifacts.clear();
  object.merge_patch({{"status", to_json(without)}});
  EXPECT_EQ(read_status(object), without);
  EXPECT_FALSE(object["status"].contains("progress"));

  Status other = full();
  other.progress = Progress{"verify", 0, 0, 0, std::nullopt};
  object.merge_patch({{"status", to_json(full())}});
  object.merge_patch({{"status", to_json(other)}});
  EXPECT_EQ(object["status"]["progress"]["percentText"], "verify");
  EXPECT_FALSE(object["status"]["progress"].contains("percent"));
  EXPECT_FALSE(object["status"]["progress"].contains("secondsLeft"));
}

TEST(Status, ADiskThatIsTheClaimItselfHasNoPath) {
  Status status = full();
  status.artifacts[0].path.clear();
  EXPECT_FALSE(to_json(status)["artifacts"][0].contains("path"));
  EXPECT_EQ(read_status({{"status", to_json(status)}}), status);
}

TEST(Progress, IsAShareBetweenNothingAndAll) {
  EXPECT_EQ((Progress{"convert", 1, 3, 0, {}}.percent()), 33);
  EXPECT_EQ((Progress{"convert", 3, 3, 0, {}}.percent()), 100);
  EXPECT_EQ((Progress{"convert", 9, 3, 0, {}}.percent()), 100);
  EXPECT_EQ((Progress{"convert", 9, 0, 0, {}}.percent()), std::nullopt);
}

TEST(Phase, EveryOneHasItsOwnWord) {
  for (Phase phase : kAllPhases)
    EXPECT_EQ(read_status({{"status", {{"phase", std::string(to_string(phase))}}}}).phase, phase);
  EXPECT_EQ(read_status({{"status", {{"phase", "Strange"}}}}).phase, Phase::kNone);
}

}  // namespace
}  // namespace hyper2kvm::conversion
