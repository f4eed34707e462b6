#include "runner/daemon/statistics.h"

#include <gtest/gtest.h>

#include "runner/os/file.h"

namespace hyper2kvm::daemon {
namespace {

Job done_job() {
  Job job;
  job.id = "20260131-235959-123456-7f";
  job.phase = Phase::kDone;
  job.source_bytes = 100;
  job.output_bytes = 40;
  job.attempts = 3;
  job.failures = 1;
  job.interruptions = 1;
  job.duration_seconds = 2;
  return job;
}

class StatisticsTest : public ::testing::Test {
 protected:
  os::TemporaryDirectory directory{"statistics-test"};
  std::filesystem::path file = directory.path() / "statistics.json";
};

TEST_F(StatisticsTest, SurviveARestart) {
  Statistics(file).count(done_job());
  Statistics again(file);
  EXPECT_EQ(again.totals().done, 1u);
  EXPECT_EQ(again.totals().source_bytes, 100u);
  EXPECT_EQ(again.totals().attempts, 3u);
  again.count_refused();
  EXPECT_EQ(Statistics(file).totals().refused, 1u);
}

TEST_F(StatisticsTest, AJobIsCountedOnceWhereverTheCrashCame) {
  Statistics(file).count(done_job());
  Statistics again(file);
  again.keep_only({done_job().id});  // the job does not know yet that it was counted
  again.count(done_job());
  EXPECT_EQ(again.totals().done, 1u);
}

TEST_F(StatisticsTest, AJobThatBeginsAnewIsCountedAnew) {
  Statistics statistics(file);
  Job failed = done_job();
  failed.phase = Phase::kFailed;
  statistics.count(failed);
  statistics.reopen(failed.id);
  statistics.count(done_job());
  EXPECT_EQ(statistics.totals().failed, 1u);
  EXPECT_EQ(statistics.totals().done, 1u);
}

TEST_F(StatisticsTest, ADamagedFileIsBegunAnew) {
  os::write_text_atomically(file, "{");
  EXPECT_EQ(Statistics(file).totals().done, 0u);
}

}  // namespace
}  // namespace hyper2kvm::daemon
