#include "operator/conversion/node_slots.h"

#include <gtest/gtest.h>

namespace hyper2kvm::conversion {
namespace {

TEST(NodeSlots, AreGivenOutEvenly) {
  NodeSlots slots(2);
  EXPECT_EQ(slots.take({"vms", "a"}), 0u);
  EXPECT_EQ(slots.take({"vms", "b"}), 1u);
  EXPECT_EQ(slots.take({"vms", "c"}), 0u);
  slots.release({"vms", "b"});
  EXPECT_EQ(slots.take({"vms", "d"}), 1u);
}

TEST(NodeSlots, OneConversionKeepsItsOwnUntilItIsReleased) {
  NodeSlots slots(3);
  EXPECT_EQ(slots.take({"vms", "a"}), 0u);
  EXPECT_EQ(slots.take({"vms", "a"}), 0u);
  slots.release({"vms", "a"});
  slots.release({"vms", "a"});
  EXPECT_EQ(slots.take({"vms", "b"}), 0u);
}

TEST(NodeSlots, WhatRanBeforeIsCounted) {
  NodeSlots slots(2);
  slots.note({"vms", "a"}, 0);
  slots.note({"vms", "old"}, 7);
  EXPECT_EQ(slots.take({"vms", "b"}), 1u);
  EXPECT_EQ(slots.take({"vms", "a"}), 0u);
}

TEST(NodeSlots, AreNoneWithoutALimit) {
  NodeSlots slots(0);
  EXPECT_EQ(slots.take({"vms", "a"}), std::nullopt);
  slots.release({"vms", "a"});
}

}  // namespace
}  // namespace hyper2kvm::conversion
