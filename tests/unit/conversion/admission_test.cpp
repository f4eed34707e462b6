#include "operator/conversion/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hyper2kvm::conversion {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

kube::ObjectKey key(const std::string& name) { return {"vms", name}; }
kube::Calendar at(int second) { return kube::Calendar{} + std::chrono::seconds(second); }

TEST(Admission, GivesOutAsManyPlacesAsThereAre) {
  Admission admission(2);
  EXPECT_TRUE(admission.ask(key("a"), at(1)).may_start);
  admission.set(key("a"), at(1), Place::kHolds);
  EXPECT_TRUE(admission.ask(key("b"), at(2)).may_start);
  admission.set(key("b"), at(2), Place::kHolds);
  EXPECT_FALSE(admission.ask(key("c"), at(3)).may_start);
  EXPECT_TRUE(admission.ask(key("a"), at(1)).may_start) << "it has one already";
  EXPECT_EQ(admission.holders(), 2u);
}

TEST(Admission, WithoutALimitEverybodyMayStart) {
  Admission admission(0);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(admission.ask(key(std::to_string(i)), at(i)).may_start);
    admission.set(key(std::to_string(i)), at(i), Place::kHolds);
  }
}

TEST(Admission, APlaceThatBecomesFreeGoesToTheOldest) {
  Admission admission(1);
  admission.set(key("runs"), at(1), Place::kHolds);
  EXPECT_THAT(admission.set(key("young"), at(9), Place::kWaits), IsEmpty());
  EXPECT_THAT(admission.set(key("old"), at(2), Place::kWaits), IsEmpty());
  EXPECT_EQ(admission.ask(key("young"), at(9)).ahead, 1u);
  EXPECT_EQ(admission.ask(key("old"), at(2)).ahead, 0u);
  EXPECT_THAT(admission.set(key("runs"), at(1), Place::kNone), ElementsAre(key("old")));
  EXPECT_TRUE(admission.ask(key("old"), at(2)).may_start);
  EXPECT_FALSE(admission.ask(key("young"), at(9)).may_start) << "the free place is not its own";
  EXPECT_FALSE(admission.ask(key("newest"), at(99)).may_start);
}

TEST(Admission, OneThatGoesAwayLeavesNothingBehind) {
  Admission admission(1);
  admission.set(key("a"), at(1), Place::kHolds);
  admission.set(key("b"), at(2), Place::kWaits);
  admission.set(key("c"), at(3), Place::kWaits);
  EXPECT_THAT(admission.forget(key("b")), IsEmpty());
  EXPECT_THAT(admission.forget(key("a")), ElementsAre(key("c")));
  EXPECT_THAT(admission.set(key("c"), at(3), Place::kHolds), IsEmpty());
  EXPECT_EQ(admission.holders(), 1u);
}

}  // namespace
}  // namespace hyper2kvm::conversion
