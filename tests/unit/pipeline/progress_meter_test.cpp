#include "runner/pipeline/progress_meter.h"

#include <gtest/gtest.h>

#include "tests/unit/pipeline/collected_events.h"

namespace hyper2kvm::pipeline {
namespace {

using namespace std::chrono_literals;

class ProgressMeterTest : public testing::Test {
 protected:
  ProgressMeter meter(std::size_t parts) {
    return ProgressMeter("convert", parts, events_, [this] { return now_; });
  }
  std::chrono::steady_clock::time_point now_{1000s};
  CollectedEvents events_;
};

TEST_F(ProgressMeterTest, AddsUpTheDisks) {
  auto m = meter(2);
  m.update(0, 10, 100);
  now_ += 1s;
  m.update(1, 20, 300);
  auto last = events_.all().back();
  EXPECT_EQ(last.done_bytes, 30u);
  EXPECT_EQ(last.total_bytes, 400u);
  EXPECT_EQ(last.stage, "convert");
}

TEST_F(ProgressMeterTest, TheTotalIsUnknownUntilEveryDiskSaidIts) {
  auto m = meter(2);
  m.update(0, 10, 100);
  EXPECT_EQ(events_.all().back().total_bytes, 0u);
  EXPECT_FALSE(events_.all().back().seconds_left);
}

TEST_F(ProgressMeterTest, NeverGoesBackwards) {
  auto m = meter(1);
  m.update(0, 50, 100);
  now_ += 1s;
  m.update(0, 40, 100);
  EXPECT_EQ(events_.all().back().done_bytes, 50u);
}

TEST_F(ProgressMeterTest, TellsAtMostFiveTimesASecondAndAlwaysTheEnd) {
  auto m = meter(1);
  for (std::uint64_t done = 1; done <= 1000; ++done) {
    now_ += 1ms;
    m.update(0, done, 1000);
  }
  auto events = events_.all();
  EXPECT_LE(events.size(), 7u);
  EXPECT_GE(events.size(), 5u);
  EXPECT_EQ(events.back().done_bytes, 1000u);
}

TEST_F(ProgressMeterTest, TheTimeLeftOfASteadyCopyIsRight) {
  auto m = meter(1);
  constexpr std::uint64_t kTotal = 100'000;
  for (int second = 1; second <= 50; ++second) {
    now_ += 1s;
    m.update(0, static_cast<std::uint64_t>(second) * 1000, kTotal);
  }
  ASSERT_TRUE(events_.all().back().seconds_left);
  EXPECT_NEAR(*events_.all().back().seconds_left, 50, 1);
  EXPECT_NEAR(events_.all().back().bytes_per_second, 1000, 10);
}

TEST_F(ProgressMeterTest, MoreThanTheTotalIsTheTotal) {
  auto m = meter(1);
  m.update(0, 500, 100);
  EXPECT_EQ(events_.all().back().done_bytes, 100u);
}

}  // namespace
}  // namespace hyper2kvm::pipeline
