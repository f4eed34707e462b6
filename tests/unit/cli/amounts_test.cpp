#include "runner/cli/amounts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "runner/os/error.h"

namespace hyper2kvm::cli {
namespace {

TEST(SizeText, IsShortAndInPowersOf1024) {
  EXPECT_EQ(size_text(0), "0 B");
  EXPECT_EQ(size_text(1023), "1023 B");
  EXPECT_EQ(size_text(1024), "1.0 KiB");
  EXPECT_EQ(size_text(10 * 1024), "10 KiB");
  EXPECT_EQ(size_text((1u << 20) - 1), "1.0 MiB");
  EXPECT_EQ(size_text(1288490189), "1.2 GiB");
  EXPECT_EQ(size_text(UINT64_MAX), "16 EiB");
}

TEST(SizeOfText, SaysTheUnitOnceWhereItIsTheSame) {
  EXPECT_EQ(size_of_text(1288490189, 2254857830), "1.2 of 2.1 GiB");
  EXPECT_EQ(size_of_text(512u << 20, 2254857830), "512 MiB of 2.1 GiB");
  EXPECT_EQ(size_of_text(0, 2254857830), "0.0 of 2.1 GiB");
}

TEST(ClockText, IsMinutesAndSeconds) {
  EXPECT_EQ(clock_text(0), "0:00");
  EXPECT_EQ(clock_text(2.1), "0:03");
  EXPECT_EQ(clock_text(754), "12:34");
  EXPECT_EQ(clock_text(3723), "1:02:03");
  EXPECT_EQ(clock_text(-1), "?");
  EXPECT_EQ(clock_text(1e300), "?");
  EXPECT_EQ(clock_text(std::numeric_limits<double>::quiet_NaN()), "?");
}

TEST(DurationText, IsAsExactAsAPersonWants) {
  EXPECT_EQ(duration_text(0.04), "0.0 s");
  EXPECT_EQ(duration_text(4.26), "4.3 s");
  EXPECT_EQ(duration_text(12.3), "12 s");
  EXPECT_EQ(duration_text(119), "119 s");
  EXPECT_EQ(duration_text(200), "3 min 20 s");
  EXPECT_EQ(duration_text(std::numeric_limits<double>::infinity()), "?");
}

TEST(ParseSize, ReadsWhatPeopleWrite) {
  EXPECT_EQ(parse_size("1048576", "-x"), 1048576u);
  EXPECT_EQ(parse_size("4M", "-x"), 4u << 20);
  EXPECT_EQ(parse_size("4m", "-x"), 4u << 20);
  EXPECT_EQ(parse_size("4MiB", "-x"), 4u << 20);
  EXPECT_EQ(parse_size("4MB", "-x"), 4u << 20);
  EXPECT_EQ(parse_size("1.5K", "-x"), 1536u);
  EXPECT_EQ(parse_size("2G", "-x"), 2ull << 30);
  EXPECT_EQ(parse_size("1T", "-x"), 1ull << 40);
  EXPECT_EQ(parse_size("7B", "-x"), 7u);
}

TEST(ParseSize, RefusesEverythingElseWithTheOptionsName) {
  for (const char* text :
       {"", "M", "-4M", "0", "0.5", "4X", "4 M", "4Mb/s", "1e3", "999999999T", "nan", "inf", "4BB"}) {
    try {
      parse_size(text, "--rate-limit");
      FAIL() << text;
    } catch (const os::Error& error) {
      EXPECT_EQ(error.kind(), os::ErrorKind::kUsage);
      EXPECT_THAT(error.sentence(),
                  testing::StartsWith("--rate-limit: \"" + std::string(text) + "\" is no size"));
    }
  }
}

}  // namespace
}  // namespace hyper2kvm::cli
