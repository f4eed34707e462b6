#include <gtest/gtest.h>

#include "runner/contract/report.h"

namespace hyper2kvm::contract {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::system_clock;

TEST(Rfc3339, IsWrittenInUtc) {
  system_clock::time_point time{seconds(1769903999)};
  EXPECT_EQ(rfc3339(time), "2026-01-31T23:59:59Z");
  EXPECT_EQ(rfc3339_milliseconds(time + milliseconds(7)), "2026-01-31T23:59:59.007Z");
  EXPECT_EQ(rfc3339(system_clock::time_point{}), "1970-01-01T00:00:00Z");
}

TEST(Rfc3339, IsReadWithAnyOffsetAndFraction) {
  system_clock::time_point time{seconds(1769903999)};
  for (const char* text : {"2026-01-31T23:59:59Z", "2026-02-01T00:59:59+01:00", "2026-01-31T18:29:59-05:30",
                           "2026-01-31t23:59:59z", "2026-01-31 23:59:59Z"})
    EXPECT_EQ(parse_rfc3339(text), time) << text;
  EXPECT_EQ(parse_rfc3339("2026-01-31T23:59:59.5Z"), time + milliseconds(500));
  EXPECT_EQ(parse_rfc3339("2026-01-31T23:59:59.000000000000Z"), time);
}

TEST(Rfc3339, NothingElseIsRead) {
  for (const char* text :
       {"", "2026-01-31", "2026-01-31T23:59:59", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z",
        "2026-01-31T24:00:00Z", "2026-01-31T23:60:00Z", "2026-01-31T23:59:61Z", "2026-01-31T23:59:59.Z",
        "2026-01-31T23:59:59+1:00", "2026-01-31T23:59:59+24:00", "2026-01-31T23:59:59Zx",
        "9999-01-31T23:59:59Z", "0001-01-01T00:00:00Z", "yesterday"})
    EXPECT_EQ(parse_rfc3339(text), std::nullopt) << text;
}

TEST(Rfc3339, WhatIsWrittenIsReadBack) {
  system_clock::time_point time{milliseconds(1769903999123)};
  EXPECT_EQ(parse_rfc3339(rfc3339_milliseconds(time)), time);
}

}  // namespace
}  // namespace hyper2kvm::contract
