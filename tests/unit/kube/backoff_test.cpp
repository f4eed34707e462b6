#include "operator/kube/backoff.h"

#include <gtest/gtest.h>

namespace hyper2kvm::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Backoff, DoublesFromFiveMillisecondsToAThousandSecondsForAKey) {
  EXPECT_EQ(kKeyBackoff.delay(0), Duration::zero());
  EXPECT_EQ(kKeyBackoff.delay(1), milliseconds(5));
  EXPECT_EQ(kKeyBackoff.delay(2), milliseconds(10));
  EXPECT_EQ(kKeyBackoff.delay(18), milliseconds(5 << 17));
  EXPECT_EQ(kKeyBackoff.delay(19), seconds(1000));
}

TEST(Backoff, StaysAtItsLongestHoweverOftenItFails) {
  for (unsigned failures : {20u, 64u, 65u, 1000u, 4000000000u})
    EXPECT_EQ(kKeyBackoff.delay(failures), seconds(1000));
}

TEST(Backoff, JitterStretchesUpToItsShare) {
  EXPECT_EQ(kWatchBackoff.delay(1, 0), milliseconds(800));
  EXPECT_EQ(kWatchBackoff.delay(1, 0.5), milliseconds(1200));
  EXPECT_LT(kWatchBackoff.delay(1, 0.999), milliseconds(1600));
  EXPECT_EQ(kWatchBackoff.delay(100, 0), seconds(30));
}

TEST(Backoff, RandomNumbersAreBelowOne) {
  for (int i = 0; i < 1000; ++i) {
    double random = random_unit();
    EXPECT_GE(random, 0);
    EXPECT_LT(random, 1);
  }
}

}  // namespace
}  // namespace hyper2kvm::kube
