#include "operator/kube/timestamp.h"

#include <gtest/gtest.h>

namespace hyper2kvm::kube {
namespace {

using std::chrono::microseconds;

Calendar moment(long long seconds, int fraction = 0) {
  return Calendar(std::chrono::seconds(seconds)) + microseconds(fraction);
}

TEST(Timestamp, IsWrittenAsKubernetesDoes) {
  EXPECT_EQ(to_time(moment(0)), "1970-01-01T00:00:00Z");
  EXPECT_EQ(to_time(moment(1714564805, 999999)), "2024-05-01T12:00:05Z");
  EXPECT_EQ(to_micro_time(moment(1714564805, 42)), "2024-05-01T12:00:05.000042Z");
}

TEST(Timestamp, ReadsWhatItWrites) {
  for (Calendar at : {moment(0), moment(951782400), moment(1714564805, 123456), moment(253402300799)}) {
    EXPECT_EQ(parse_time(to_micro_time(at)), at);
    EXPECT_EQ(parse_time(to_time(at)), std::chrono::floor<std::chrono::seconds>(at));
  }
}

TEST(Timestamp, FractionsAreKeptToTheMicrosecond) {
  EXPECT_EQ(parse_time("2024-05-01T12:00:05.5Z"), moment(1714564805, 500000));
  EXPECT_EQ(parse_time("2024-05-01T12:00:05.123456789Z"), moment(1714564805, 123456));
}

TEST(Timestamp, OffsetsAreTakenOff) {
  EXPECT_EQ(parse_time("2024-05-01T14:00:05+02:00"), moment(1714564805));
  EXPECT_EQ(parse_time("2024-05-01T06:30:05-05:30"), moment(1714564805));
}

TEST(Timestamp, WhatIsNoMomentIsNotReadAsOne) {
  for (const char* text : {"", "now", "2024-05-01", "2024-05-01T12:00:05", "2024-13-01T12:00:05Z",
                           "2024-02-30T12:00:05Z", "2024-05-01T24:00:05Z", "2024-05-01T12:60:05Z",
                           "2024-05-01T12:00:05.Z", "2024-05-01T12:00:05Z ", "1969-05-01T12:00:05Z",
                           "2024-05-01T12:00:05+2:00", "2024-05-01T12:00:05+25:00", "-024-05-01T12:00:05Z"})
    EXPECT_EQ(parse_time(text), std::nullopt) << text;
}

}  // namespace
}  // namespace hyper2kvm::kube
