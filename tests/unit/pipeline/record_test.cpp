#include "runner/pipeline/record.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "tests/unit/pipeline/collected_events.h"

namespace hyper2kvm::pipeline {
namespace {

using contract::Event;
using os::Error;
using os::ErrorKind;

class RecordTest : public testing::Test {
 protected:
  contract::Report report_;
  CollectedEvents events_;
  Record record_{report_, events_};
};

TEST_F(RecordTest, AStageThatWorksHasItsResult) {
  record_.stage("verify", [] { return nlohmann::json{{"disks", 2}}; });
  ASSERT_EQ(report_.stages.size(), 1u);
  EXPECT_TRUE(report_.stages[0].success);
  EXPECT_EQ(report_.stages[0].result["disks"], 2);
  EXPECT_EQ(events_.all().front().kind, Event::Kind::kStageStarted);
  EXPECT_EQ(events_.all().back().kind, Event::Kind::kStageEnded);
  EXPECT_TRUE(events_.all().back().success);
}

TEST_F(RecordTest, AStageThatFailsHasItsSentenceAndThrowsOn) {
  EXPECT_THROW(
      record_.stage("fix",
                    []() -> nlohmann::json { throw Error(ErrorKind::kInvalid, "web01", "is encrypted"); }),
      Error);
  EXPECT_FALSE(report_.stages[0].success);
  EXPECT_EQ(report_.stages[0].error, "web01: is encrypted");
  EXPECT_EQ(events_.all().back().message, "web01: is encrypted");
  EXPECT_EQ(record_.failed_stage(), "fix");
}

TEST_F(RecordTest, ABugIsAnInternalErrorAndNotACrash) {
  try {
    record_.stage("convert", []() -> nlohmann::json { throw std::out_of_range("index"); });
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInternal);
  }
}

TEST_F(RecordTest, TheStageThatFailedIsNotTheOneThatWasOnlyStopped) {
  EXPECT_THROW(
      record_.stage("convert", []() -> nlohmann::json { throw Error(ErrorKind::kCancelled, "", "stopped"); }),
      Error);
  EXPECT_EQ(record_.failed_stage(), "convert");
  EXPECT_THROW(
      record_.stage("fix", []() -> nlohmann::json { throw Error(ErrorKind::kInvalid, "", "broken"); }),
      Error);
  EXPECT_EQ(record_.failed_stage(), "fix");
}

TEST_F(RecordTest, AWarningIsInTheReportAndAnEvent) {
  record_.warning("fix", "ens224 is ambiguous");
  ASSERT_EQ(report_.warnings.size(), 1u);
  EXPECT_EQ(report_.warnings[0].message, "ens224 is ambiguous");
  EXPECT_EQ(events_.all().back().severity, contract::Severity::kWarning);
}

}  // namespace
}  // namespace hyper2kvm::pipeline
