#include "operator/kube/logger.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "runner/os/file.h"
#include "tests/unit/kube/log_lines.h"
#include "tests/unit/kube/manual_clock.h"

namespace hyper2kvm::kube {
namespace {

class LoggerTest : public testing::Test {
 protected:
  struct Text final : LogSink {
    void write(std::string_view line) override { text += line; }
    std::string text;
  };
  std::shared_ptr<Text> sink = std::make_shared<Text>();
  ManualClock clock;
  Logger log{sink, LogLevel::kInfo, clock};
};

TEST_F(LoggerTest, ALineIsOneJsonObjectWithItsFields) {
  log.with({{"controller", "vm"}})
      .with({{"namespace", "n"}, {"name", "a"}, {"reconcileID", "x"}})
      .info("done", {{"seconds", 3}});
  EXPECT_EQ(sink->text,
            R"({"level":"info","ts":"2024-05-01T00:00:00.000000Z","msg":"done","controller":"vm",)"
            R"("name":"a","namespace":"n","reconcileID":"x","seconds":3})"
            "\n");
}

TEST_F(LoggerTest, WhatIsLoggedCannotMakeALineOfItsOwn) {
  log.info("a\n{\"level\":\"error\"}", {{"x\ny", "z\n"}, {"bytes", "\xff\xfe"}});
  EXPECT_EQ(std::count(sink->text.begin(), sink->text.end(), '\n'), 1);
  EXPECT_TRUE(Json::parse(sink->text).is_object());
}

TEST_F(LoggerTest, LinesBelowTheLevelAreNotWritten) {
  log.debug("no");
  EXPECT_EQ(sink->text, "");
  log.warning("yes");
  EXPECT_NE(sink->text.find("\"warn\""), std::string::npos);
}

TEST_F(LoggerTest, AnErrorIsItsSentence) {
  log.error("failed", os::Error(os::ErrorKind::kInvalid, "a.vmdk", "is damaged", "Export it again."),
            {{"k", 1}});
  Json line = Json::parse(sink->text);
  EXPECT_EQ(line["error"], "a.vmdk: is damaged. Export it again.");
  EXPECT_EQ(line["k"], 1);
  EXPECT_EQ(line["level"], "error");
}

TEST_F(LoggerTest, ALoggerWithoutASinkSaysNothing) { Logger().error("nothing"); }

TEST(DescriptorSink, WritesWholeLines) {
  os::Pipe pipe = os::make_pipe();
  log_to_descriptor(pipe.write_end.get())->write("line\n");
  pipe.write_end.reset();
  char buffer[16] = "";
  EXPECT_EQ(::read(pipe.read_end.get(), buffer, sizeof buffer), 5);
  EXPECT_STREQ(buffer, "line\n");
}

}  // namespace
}  // namespace hyper2kvm::kube
