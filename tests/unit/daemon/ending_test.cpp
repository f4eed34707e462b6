#include "runner/daemon/ending.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hyper2kvm::daemon {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Kind = Ending::Kind;

class EndingTest : public ::testing::Test {
 protected:
  EndingTest() {
    job.vm_name = "Web 01";
    job.result_name = "web-01";
    ended.status = {false, 1};
  }
  Ending ending() const { return ending_of(ended, job, settings); }
  EndedConversion ended;
  Job job;
  Settings settings;
};

TEST_F(EndingTest, AReportOfASuccessGoesOverEverythingElse) {
  ended.verdict = Verdict{.success = true};
  ended.status = {true, 9};
  ended.timed_out = ended.asked_to_stop = true;
  job.cancel_requested = true;
  EXPECT_EQ(ending().kind, Kind::kConverted);
}

TEST_F(EndingTest, OneThatWasAskedToEndFailedAtNothing) {
  ended.asked_to_stop = true;
  ended.result = contract::Event{.kind = contract::Event::Kind::kResult, .message = "It was stopped."};
  EXPECT_EQ(ending().kind, Kind::kInterrupted);
  job.cancel_requested = true;
  EXPECT_EQ(ending().kind, Kind::kCancelled);
}

TEST_F(EndingTest, OneThatTookTooLongMayBeTriedAgain) {
  ended.timed_out = ended.asked_to_stop = true;
  settings.conversion_timeout = std::chrono::minutes(90);
  EXPECT_EQ(ending().kind, Kind::kFailed);
  EXPECT_THAT(ending().error, AllOf(StartsWith("Web 01: took longer than 90 minutes"),
                                    HasSubstr("Raise CONVERSION_TIMEOUT")));
  EXPECT_TRUE(ending().may_pass);
  job.vm_name.clear();
  EXPECT_THAT(ending().error, StartsWith("web-01: "));
}

TEST_F(EndingTest, ASuccessWithoutAReportIsNone) {
  ended.status = {false, 0};
  EXPECT_EQ(ending().kind, Kind::kFailed);
  EXPECT_THAT(ending().error, HasSubstr("without a report"));
  EXPECT_TRUE(ending().may_pass);
}

TEST_F(EndingTest, ItsOwnWordsTellTheFailureAndWhetherItMayPass) {
  ended.verdict = Verdict{.error = "of the report"};
  ended.last_words = "of stderr";
  ended.result = contract::Event{
      .kind = contract::Event::Kind::kResult, .message = "The disk is full.", .may_pass = true};
  EXPECT_EQ(ending().error, "The disk is full.");
  EXPECT_TRUE(ending().may_pass);
  ended.result->may_pass = false;
  EXPECT_FALSE(ending().may_pass);
  ended.result->message.clear();
  EXPECT_EQ(ending().error, "The conversion exited with status 1: of the report");
  EXPECT_FALSE(ending().may_pass);
  ended.verdict.reset();
  EXPECT_EQ(ending().error, "The conversion exited with status 1: of stderr");
  ended.last_words.clear();
  EXPECT_EQ(ending().error, "The conversion exited with status 1.");
}

TEST_F(EndingTest, OneThatWasKilledMayHaveMetTheMemoryLimit) {
  ended.status = {true, 9};
  EXPECT_EQ(ending().kind, Kind::kFailed);
  EXPECT_THAT(ending().error,
              AllOf(HasSubstr("killed by signal 9"), EndsWith("raise MemoryMax= in a drop-in.")));
  EXPECT_TRUE(ending().may_pass);
}

}  // namespace
}  // namespace hyper2kvm::daemon
