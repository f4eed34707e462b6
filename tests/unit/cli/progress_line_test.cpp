#include "runner/cli/progress_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace hyper2kvm::cli {
namespace {

using contract::Event;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::uint64_t kGiB = 1ull << 30;

Event started(const std::string& stage) { return {.kind = Event::Kind::kStageStarted, .stage = stage}; }
Event ended(const std::string& stage) {
  return {.kind = Event::Kind::kStageEnded, .stage = stage, .success = true};
}
Event said(const std::string& stage, const std::string& text) {
  return {.kind = Event::Kind::kMessage, .stage = stage, .message = text};
}
Event progress(std::uint64_t done, std::uint64_t total) {
  return {.kind = Event::Kind::kProgress,
          .stage = "convert",
          .done_bytes = done,
          .total_bytes = total,
          .bytes_per_second = 812.0 * (1 << 20),
          .seconds_left = 2.5};
}

int percent_in(const std::string& line) {
  std::size_t end = line.find('%');
  if (end == std::string::npos) return -1;
  std::size_t start = line.find_last_not_of("0123456789", end - 1) + 1;
  return std::stoi(line.substr(start, end - start));
}

ProgressLine converting() {
  ProgressLine line;
  line.apply(started("convert"));
  line.apply(progress(kGiB, 2 * kGiB));
  return line;
}

TEST(ProgressLine, IsEmptyBeforeAndAfterTheWork) {
  ProgressLine line;
  EXPECT_EQ(line.text(80), "");
  line.apply(started("verify"));
  EXPECT_EQ(line.text(80), "verify");
  line.apply(ended("verify"));
  EXPECT_EQ(line.text(80), "");
}

TEST(ProgressLine, ShowsPercentBarAmountsRateAndTimeLeft) {
  EXPECT_EQ(converting().text(80), "convert  50% [=====>      ] 1.0 of 2.0 GiB  812 MiB/s  0:03 left");
}

TEST(ProgressLine, ShowsWhatRunsBesideIt) {
  ProgressLine line = converting();
  line.apply(started("fix"));
  line.apply(said("fix", "editing /etc/fstab"));
  EXPECT_THAT(line.text(120), HasSubstr("0:03 left  fix: editing /etc/fstab"));
  EXPECT_THAT(line.text(120), StartsWith("convert  50% [="));
  line.apply(ended("fix"));
  EXPECT_THAT(line.text(120), Not(HasSubstr("fix")));
}

TEST(ProgressLine, TheBarStaysWhereItIsWhateverIsSaidBesideIt) {
  ProgressLine line = converting();
  std::size_t end = line.text(120).find(']');
  line.apply(started("fix"));
  for (const char* text : {"mounting", "looking for the operating system on every disk", ""}) {
    line.apply(said("fix", text));
    EXPECT_EQ(line.text(120).find(']'), end);
  }
}

TEST(ProgressLine, WithoutATotalShowsOnlyWhatIsDone) {
  ProgressLine line;
  line.apply(started("convert"));
  line.apply({.kind = Event::Kind::kProgress, .stage = "convert", .done_bytes = 3 * kGiB});
  EXPECT_EQ(line.text(80), "convert  3.0 GiB");
}

TEST(ProgressLine, NeverGoesBackwards) {
  ProgressLine line;
  line.apply(started("convert"));
  line.apply(progress(kGiB, 2 * kGiB));
  EXPECT_EQ(percent_in(line.text(80)), 50);
  line.apply(progress(kGiB / 2, 2 * kGiB));
  EXPECT_EQ(percent_in(line.text(80)), 50);
  line.apply(progress(kGiB, 8 * kGiB));  // there is more than was known
  EXPECT_EQ(percent_in(line.text(80)), 50);
}

TEST(ProgressLine, IsAtOneHundredOnlyWhenAllIsDone) {
  ProgressLine line;
  line.apply(started("convert"));
  line.apply(progress(2 * kGiB - 1, 2 * kGiB));
  EXPECT_EQ(percent_in(line.text(80)), 99);
  line.apply(progress(2 * kGiB, 2 * kGiB));
  EXPECT_EQ(percent_in(line.text(80)), 100);
  EXPECT_THAT(line.text(80), Not(HasSubstr("left")));
}

TEST(ProgressLine, IsPlainAsciiWhateverAGuestSays) {
  ProgressLine line = converting();
  line.apply(started("fix"));
  line.apply(said("fix", "a\x1b[2J\x07\n\u00e9\u4e2d\xff z"));
  std::string text = line.text(200);
  EXPECT_THAT(text, HasSubstr("fix: a?[2J????? z"));
  for (char c : text) EXPECT_TRUE(c >= 0x20 && c < 0x7f);
}

TEST(ProgressLine, FitsAnyWidthAndStaysInOrder) {
  std::mt19937 random(1);
  ProgressLine line;
  int before = 0;
  std::uint64_t done = 0;
  line.apply(started("convert"));
  line.apply(started("fix"));
  for (int i = 0; i < 2000; ++i) {
    done = std::min<std::uint64_t>(7 * kGiB, done + random() % (8u << 20));
    line.apply(progress(random() % 4 == 0 ? done / 2 : done, 7 * kGiB));
    if (i % 50 == 0) line.apply(said("fix", std::string(random() % 300, 'x')));
    std::size_t width = random() % 250;
    std::string text = line.text(width);
    EXPECT_LE(text.size(), width);
    int percent = percent_in(line.text(200));
    EXPECT_GE(percent, before);
    before = percent;
  }
}

TEST(ProgressLine, OfANarrowTerminalKeepsWhatMattersMost) {
  ProgressLine line = converting();
  EXPECT_EQ(line.text(12), "convert  50%");
  EXPECT_EQ(line.text(51), "convert  50% 1.0 of 2.0 GiB  812 MiB/s  0:03 left");
  EXPECT_EQ(line.text(5), "conve");
}

}  // namespace
}  // namespace hyper2kvm::cli
