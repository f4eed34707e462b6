#include "runner/daemon/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hyper2kvm::daemon {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Space kPlenty{1ull << 50, 1ull << 51};

class ScheduleTest : public ::testing::Test {
 protected:
  Job& add(const std::string& id, Phase phase = Phase::kQueued, std::string name = "") {
    Job& job = jobs[id];
    job.id = id;
    job.phase = phase;
    job.result_name = name.empty() ? "vm-" + id : name;
    return job;
  }
  Choice choice(Space space = kPlenty) { return choose(jobs, settings, 1000, space); }
  Jobs jobs;
  Settings settings;
};

TEST_F(ScheduleTest, NoMoreThanMaxConcurrentRun) {
  add("a", Phase::kRunning);
  add("b");
  add("c");
  settings.max_concurrent = 2;
  EXPECT_THAT(choice().start, ElementsAre("b"));
  EXPECT_EQ(choice().waiting.at("c"), Waiting::kForSlot);
}

TEST_F(ScheduleTest, WhatIsNotYetOnTheDiskIsNotStartedAndKeepsItsPlace) {
  add("a", Phase::kClaimed, "web");
  add("b", Phase::kQueued, "web");
  add("c");
  Choice made = choice();
  EXPECT_THAT(made.start, ElementsAre("c"));
  EXPECT_EQ(made.waiting.at("a"), Waiting::kForDisk);
  EXPECT_EQ(made.waiting.at("b"), Waiting::kForSameMachine);
}

TEST_F(ScheduleTest, ZeroMeansUnlimited) {
  settings.max_concurrent = 0;
  for (char c = 'a'; c < 'k'; ++c) add(std::string(1, c));
  EXPECT_EQ(choice().start.size(), 10u);
}

TEST_F(ScheduleTest, JobsOfOneMachineFollowEachOther) {
  settings.max_concurrent = 0;
  add("a", Phase::kRunning, "web");
  add("b", Phase::kQueued, "web");
  add("c", Phase::kQueued, "db");
  add("d", Phase::kQueued, "db").not_before = 0;
  EXPECT_THAT(choice().start, ElementsAre("c"));
  EXPECT_EQ(choice().waiting.at("b"), Waiting::kForSameMachine);
  EXPECT_EQ(choice().waiting.at("d"), Waiting::kForSameMachine);
}

TEST_F(ScheduleTest, AJobThatWaitsForItsTimeHoldsUpOnlyItsOwnMachine) {
  add("a", Phase::kQueued, "web").not_before = 1030;
  add("b", Phase::kQueued, "web");
  add("c");
  Choice made = choice();
  EXPECT_THAT(made.start, ElementsAre("c"));
  EXPECT_EQ(made.waiting.at("a"), Waiting::kForTime);
  EXPECT_EQ(made.next_time, 1030);
}

TEST_F(ScheduleTest, SpaceIsLeftToTheJobsThatRun) {
  settings.max_concurrent = 0;
  add("a", Phase::kRunning).source_bytes = 4ull << 30;
  add("b").source_bytes = 4ull << 30;
  add("c").source_bytes = 1;
  Space space{6ull << 30, 100ull << 30};
  EXPECT_THAT(choice(space).start, ElementsAre("c"));
  EXPECT_EQ(choice(space).waiting.at("b"), Waiting::kForSpace);
}

TEST_F(ScheduleTest, WhatIsLargerThanTheFileSystemIsNotWaitedFor) {
  add("a").source_bytes = 200ull << 30;
  Choice made = choice({6ull << 30, 100ull << 30});
  EXPECT_THAT(made.never_fit, ElementsAre("a"));
  EXPECT_THAT(made.start, IsEmpty());
}

TEST(Backoff, DoublesUpToHalfAnHour) {
  using std::chrono::seconds;
  EXPECT_EQ(backoff(1, seconds(30)), 30);
  EXPECT_EQ(backoff(2, seconds(30)), 60);
  EXPECT_EQ(backoff(4, seconds(30)), 240);
  EXPECT_EQ(backoff(1000, seconds(30)), 1800);
  EXPECT_EQ(backoff(3, seconds(3600)), 3600);
  EXPECT_EQ(backoff(5, seconds(0)), 0);
}

TEST(AfterFailure, OnlyWhatMayPassIsTriedAgainAndOnlySoOften) {
  Settings settings;
  Job job;
  job.failures = 1;
  EXPECT_EQ(after_failure(job, true, settings), AfterFailure::kRetry);
  EXPECT_EQ(after_failure(job, false, settings), AfterFailure::kGiveUp);
  job.failures = 3;
  EXPECT_EQ(after_failure(job, true, settings), AfterFailure::kGiveUp);
}

TEST_F(ScheduleTest, EndedJobsAreKeptAsLongAsTheirOutcomeSays) {
  auto ended = [&](const std::string& id, Phase phase, std::int64_t age) {
    Job& job = add(id, phase);
    job.finished = 10'000'000 - age;
    job.counted = job.mailed = job.hooked = true;
  };
  constexpr std::int64_t kDay = 86400;
  ended("a", Phase::kDone, 8 * kDay);
  ended("b", Phase::kDone, 6 * kDay);
  ended("c", Phase::kFailed, 4 * kDay);
  ended("d", Phase::kFailed, 2 * kDay);
  ended("e", Phase::kCancelled, 4 * kDay);
  ended("f", Phase::kDone, 99 * kDay);
  jobs["f"].hooked = false;
  add("g", Phase::kQueued);
  EXPECT_THAT(expired(jobs, settings, 10'000'000), ElementsAre("a", "c", "e"));
  settings.retention = std::chrono::hours(24 * 14);
  EXPECT_THAT(expired(jobs, settings, 10'000'000), ElementsAre("c", "e"));
}

TEST(Overdue, ARunningJobHasTheConfiguredTime) {
  Settings settings;
  settings.conversion_timeout = std::chrono::seconds(60);
  Job job;
  job.phase = Phase::kRunning;
  job.started = 100;
  EXPECT_FALSE(is_overdue(job, settings, 159));
  EXPECT_TRUE(is_overdue(job, settings, 160));
  job.phase = Phase::kQueued;
  EXPECT_FALSE(is_overdue(job, settings, 1000));
}

}  // namespace
}  // namespace hyper2kvm::daemon
