#include "runner/daemon/description.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace hyper2kvm::daemon {
namespace {

TEST(Description, AJobIsToldAsTheJournalKeepsItButAClaimedOneIsQueued) {
  Job job;
  job.id = "20260131-235959-123456-7f";
  job.phase = Phase::kRunning;
  EXPECT_EQ(describe(job, nullptr, nullptr), to_json(job));
  job.phase = Phase::kClaimed;
  EXPECT_EQ(describe(job, nullptr, nullptr)["phase"], "queued");
}

TEST(Description, OneThatRunsHasItsProgress) {
  Progress progress{.stage = "convert", .done_bytes = 1, .total_bytes = 4, .bytes_per_second = 2};
  nlohmann::json told = describe(Job{}, &progress, nullptr)["progress"];
  EXPECT_EQ(told["stage"], "convert");
  EXPECT_EQ(told["percent"], 25.0);
  EXPECT_FALSE(told.contains("seconds_left"));
  progress.seconds_left = 1.5;
  EXPECT_EQ(describe(Job{}, &progress, nullptr)["progress"]["seconds_left"], 1.5);
}

TEST(Description, OneThatIsQueuedTellsWhatItWaitsFor) {
  EXPECT_FALSE(describe(Job{}, nullptr, nullptr).contains("waits_for"));
  for (auto [waiting, word] :
       std::initializer_list<std::pair<Waiting, const char*>>{{Waiting::kForSlot, "slot"},
                                                              {Waiting::kForTime, "time"},
                                                              {Waiting::kForSpace, "space"},
                                                              {Waiting::kForSameMachine, "same machine"},
                                                              {Waiting::kForDisk, "disk"}})
    EXPECT_EQ(describe(Job{}, nullptr, &waiting)["waits_for"], word);
}

TEST(Description, TheStatusLineNamesTheFirstFourThatRun) {
  EXPECT_EQ(status_line("/queue", {}, 3, ""), "WATCH_DIR=/queue: 0 running, 3 queued");
  std::vector<RunningJob> running = {
      {"a", {}}, {"b", {.stage = "convert", .done_bytes = 1, .total_bytes = 2}}, {"c", {.stage = "fix"}}};
  EXPECT_EQ(status_line("/queue", running, 0, "draining"),
            "WATCH_DIR=/queue: 3 running (a starts, b convert 50%, c fix), 0 queued, draining");
  running.push_back({"d", {}});
  EXPECT_EQ(status_line("/queue", running, 0, ""),
            "WATCH_DIR=/queue: 4 running (a starts, b convert 50%, c fix, d starts), 0 queued");
  running.push_back({"e", {}});
  EXPECT_EQ(status_line("/queue", running, 0, ""),
            "WATCH_DIR=/queue: 5 running (a starts, b convert 50%, c fix, d starts, ...), 0 queued");
}

}  // namespace
}  // namespace hyper2kvm::daemon
