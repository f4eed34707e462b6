#include "runner/contract/events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "runner/os/error.h"

namespace hyper2kvm::contract {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

const std::chrono::system_clock::time_point kTime{std::chrono::milliseconds(1769903999123)};

std::string refusal(const std::string& line) {
  try {
    parse_event(line);
  } catch (const os::Error& error) {
    EXPECT_EQ(error.kind(), os::ErrorKind::kInvalid);
    return error.sentence();
  }
  return "(accepted)";
}

TEST(Events, ProgressIsOneLine) {
  Event event{.kind = Event::Kind::kProgress,
              .time = kTime,
              .stage = "convert",
              .done_bytes = 10,
              .total_bytes = 100,
              .bytes_per_second = 5,
              .seconds_left = 18.0};
  EXPECT_EQ(to_json(event), json::parse(R"({"time": "2026-01-31T23:59:59.123Z", "event": "progress",
    "stage": "convert", "done_bytes": 10, "total_bytes": 100, "bytes_per_second": 5.0,
    "seconds_left": 18.0})"));
  EXPECT_THAT(to_line(event), Not(HasSubstr("\n")));
}

TEST(Events, KeysThatDoNotApplyAreLeftOut) {
  EXPECT_EQ(
      to_json(Event{.kind = Event::Kind::kStageStarted, .time = kTime, .stage = "verify"}),
      json::parse(R"({"time": "2026-01-31T23:59:59.123Z", "event": "stage_started", "stage": "verify"})"));
  EXPECT_EQ(
      to_json(Event{.kind = Event::Kind::kProgress, .time = kTime, .stage = "convert", .done_bytes = 1}),
      json::parse(R"({"time": "2026-01-31T23:59:59.123Z", "event": "progress", "stage": "convert",
                            "done_bytes": 1, "bytes_per_second": 0.0})"));
}

TEST(Events, EveryKindIsReadBackAsItWas) {
  std::vector<Event> events{
      {.kind = Event::Kind::kStageStarted, .time = kTime, .stage = "fix"},
      {.kind = Event::Kind::kProgress,
       .time = kTime,
       .stage = "convert",
       .done_bytes = 1,
       .total_bytes = 2,
       .bytes_per_second = 0.5,
       .seconds_left = 2.0},
      {.kind = Event::Kind::kStageEnded,
       .time = kTime,
       .stage = "fix",
       .message = "why",
       .success = false,
       .duration_seconds = 2.5},
      {.kind = Event::Kind::kMessage, .time = kTime, .severity = Severity::kWarning, .message = "careful"},
      {.kind = Event::Kind::kResult,
       .time = kTime,
       .success = true,
       .duration_seconds = 9,
       .output_path = "/out/a.qcow2",
       .report_path = "/out/report.json"}};
  for (const Event& event : events) {
    Event read = parse_event(to_line(event));
    EXPECT_EQ(to_json(read), to_json(event));
    EXPECT_EQ(read.kind, event.kind);
    EXPECT_EQ(read.time, event.time);
  }
}

TEST(Events, AFailureSaysWhetherItMayPass) {
  Event failure{.kind = Event::Kind::kResult, .message = "The disk is full.", .may_pass = true};
  EXPECT_TRUE(parse_event(to_line(failure)).may_pass);
  failure.may_pass = false;
  EXPECT_FALSE(parse_event(to_line(failure)).may_pass);
  Event success{.kind = Event::Kind::kResult, .success = true};
  EXPECT_FALSE(to_json(success).contains("may_pass"));
}

TEST(Events, ALineIsNeverTooLongAndAlwaysUtf8) {
  Event event{.kind = Event::Kind::kResult,
              .message = "a\xff\n" + std::string(100'000, '"'),
              .output_path = std::string(100'000, 'p')};
  std::string line = to_line(event);
  EXPECT_LE(line.size(), kMaximumEventBytes);
  EXPECT_THAT(parse_event(line).message, ::testing::StartsWith("a? \"\""));
}

TEST(Events, ANumberThatIsNoneIsLeftToTheReaderAsAbsent) {
  Event event{.kind = Event::Kind::kProgress, .time = kTime, .stage = "convert"};
  event.bytes_per_second = std::numeric_limits<double>::quiet_NaN();
  event.seconds_left = std::numeric_limits<double>::infinity();
  Event read = parse_event(to_line(event));
  EXPECT_EQ(read.bytes_per_second, 0);
  EXPECT_EQ(read.seconds_left, std::nullopt);
}

TEST(Events, ANewerWritersKeysAreIgnored) {
  EXPECT_EQ(parse_event(R"({"time": "2026-01-31T23:59:59Z", "event": "message", "colour": "blue"})").kind,
            Event::Kind::kMessage);
}

TEST(Events, HostileLinesAreRefused) {
  const std::string head = R"({"time": "2026-01-31T23:59:59Z", "event": "progress", )";
  EXPECT_THAT(refusal("no json"), HasSubstr("event: is not valid JSON"));
  EXPECT_THAT(refusal("[]"), HasSubstr("a list is not allowed"));
  EXPECT_THAT(refusal(R"({"time": "2026-01-31T23:59:59Z"})"), HasSubstr("event: event: is missing"));
  EXPECT_THAT(refusal(R"({"event": "progress"})"), HasSubstr("event: time: is missing"));
  EXPECT_THAT(refusal(R"({"time": "now", "event": "progress"})"), HasSubstr("event: time: \"now\""));
  EXPECT_THAT(refusal(R"({"time": "2026-01-31T23:59:59Z", "event": "explode"})"),
              HasSubstr("allowed: stage_started, progress, stage_ended, message, result"));
  EXPECT_THAT(refusal(head + R"("done_bytes": -1})"), HasSubstr("done_bytes: -1"));
  EXPECT_THAT(refusal(head + R"("bytes_per_second": -1})"), HasSubstr("bytes_per_second: -1"));
  EXPECT_THAT(refusal(head + R"("seconds_left": "soon"})"), HasSubstr("seconds_left: \"soon\""));
  EXPECT_THAT(refusal(head + "\"stage\": \"" + std::string(5000, 'a') + "\"}"), HasSubstr("at most 4096"));
  EXPECT_THAT(refusal(head + R"("stage": "a\u001b[31m"})"), HasSubstr("without control characters"));
  EXPECT_THAT(refusal(std::string(70'000, ' ')), HasSubstr("is longer than 65536 bytes"));
  EXPECT_THAT(refusal(head + R"("severity": "fatal"})"), HasSubstr("allowed: debug, info, warning, error"));
}

}  // namespace
}  // namespace hyper2kvm::contract
