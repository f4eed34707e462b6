#include "runner/boot/activity.h"

#include <gtest/gtest.h>

namespace hyper2kvm::boot {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kMiB = 1u << 20;

TEST(Activity, AMachineThatReadWroteAndWentQuietHasSettled) {
  ActivityWatch watch;
  watch.sample(2s, {10 * kMiB, 0});
  watch.sample(20s, {90 * kMiB, 5 * kMiB});
  EXPECT_FALSE(watch.has_settled());
  watch.sample(119s, {90 * kMiB, 6 * kMiB});
  EXPECT_FALSE(watch.has_settled());
  watch.sample(120s, {90 * kMiB, 6 * kMiB});
  EXPECT_TRUE(watch.has_settled());
}

TEST(Activity, OneThatNeverWroteStopsBeforeItsRootFileSystemAndHasNot) {
  ActivityWatch watch;
  watch.sample(2s, {60 * kMiB, 0});
  watch.sample(900s, {60 * kMiB, 64 << 10});
  EXPECT_FALSE(watch.has_settled());
}

TEST(Activity, OneThatReadOnlyItsBootLoaderHasNot) {
  ActivityWatch watch;
  watch.sample(900s, {2 * kMiB, 2 * kMiB});
  EXPECT_FALSE(watch.has_settled());
}

TEST(Activity, ReadingMoreBreaksTheQuietATrickleDoesNot) {
  ActivityWatch watch;
  watch.sample(10s, {90 * kMiB, 5 * kMiB});
  watch.sample(100s, {91 * kMiB, 5 * kMiB});
  watch.sample(150s, {91 * kMiB, 5 * kMiB});
  EXPECT_FALSE(watch.has_settled());
  watch.sample(200s, {91 * kMiB + (100 << 10), 5 * kMiB});
  EXPECT_TRUE(watch.has_settled());
}

TEST(Activity, CountersThatGoBackAreNoQuiet) {
  ActivityWatch watch;
  watch.sample(10s, {90 * kMiB, 5 * kMiB});
  watch.sample(200s, {40 * kMiB, 5 * kMiB});
  EXPECT_FALSE(watch.has_settled());
}

}  // namespace
}  // namespace hyper2kvm::boot
