#include "runner/os/stop.h"

#include <gtest/gtest.h>

#include "runner/os/error.h"

namespace hyper2kvm::os {
namespace {

TEST(Stop, ADefaultTokenNeverStops) {
  StopToken token;
  EXPECT_FALSE(token.stop_requested());
  EXPECT_NO_THROW(token.throw_if_stopped());
}

TEST(Stop, AParentStopsItsChildren) {
  StopSource parent;
  StopSource child(parent.token());
  parent.request_stop();
  EXPECT_TRUE(child.token().stop_requested());
  EXPECT_THROW(child.token().throw_if_stopped(), Error);
}

TEST(Stop, AChildDoesNotStopItsParent) {
  StopSource parent;
  StopSource child(parent.token());
  child.request_stop();
  EXPECT_TRUE(child.token().stop_requested());
  EXPECT_FALSE(parent.token().stop_requested());
}

}  // namespace
}  // namespace hyper2kvm::os
