#include "operator/kube/reflector_state.h"

#include <gtest/gtest.h>

namespace hyper2kvm::kube {
namespace {

using Phase = ReflectorPhase;
using Report = ReflectorEffects::Report;
using std::chrono::milliseconds;
using std::chrono::seconds;

ReflectorState watching() {
  ReflectorState state;
  state.phase = Phase::kWatching;
  state.resource_version = "10";
  state.is_synced = true;
  return state;
}
ReflectorState listing() {
  ReflectorState state;
  state.phase = Phase::kListing;
  state.continue_token = "next";
  return state;
}
ReflectorState listed() {
  ReflectorState state = watching();
  state.phase = Phase::kListed;
  return state;
}

TEST(ReflectorState, AListOfOnePageIsCommittedAndWatchedFromItsVersion) {
  auto [state, effects] = step({}, PageRead{"10", ""});
  EXPECT_EQ(state.phase, Phase::kListed);
  EXPECT_EQ(state.resource_version, "10");
  EXPECT_TRUE(state.is_synced);
  EXPECT_EQ(effects, (ReflectorEffects{.commit_pages = true}));
}

TEST(ReflectorState, NothingIsCommittedBeforeTheLastPage) {
  auto [state, effects] = step({}, PageRead{"10", "next"});
  EXPECT_EQ(state.phase, Phase::kListing);
  EXPECT_EQ(state.continue_token, "next");
  EXPECT_FALSE(state.is_synced);
  EXPECT_EQ(effects, ReflectorEffects());
  auto [after, last] = step(state, PageRead{"10", ""});
  EXPECT_EQ(after.phase, Phase::kListed);
  EXPECT_TRUE(last.commit_pages);
}

TEST(ReflectorState, EventsAreAppliedAndMoveTheVersion) {
  for (WatchEventType type : {WatchEventType::kAdded, WatchEventType::kModified, WatchEventType::kDeleted}) {
    auto [state, effects] = step(watching(), EventRead{type, "11"});
    EXPECT_EQ(state.resource_version, "11");
    EXPECT_EQ(state.phase, Phase::kWatching);
    EXPECT_TRUE(effects.apply_event);
  }
}

TEST(ReflectorState, ABookmarkMovesTheVersionOnly) {
  auto [state, effects] = step(watching(), EventRead{WatchEventType::kBookmark, "42"});
  EXPECT_EQ(state.resource_version, "42");
  EXPECT_EQ(effects, ReflectorEffects());
}

TEST(ReflectorState, AWatchThatEndsInGoodOrderIsOpenedAgainFromWhereItWas) {
  ReflectorState state = watching();
  state = step(state, EventRead{WatchEventType::kAdded, "11"}).state;
  auto [ended, effects] = step(state, WatchEnded{seconds(290)});
  EXPECT_EQ(ended.phase, Phase::kListed);
  EXPECT_EQ(ended.resource_version, "11");
  EXPECT_FALSE(effects.wait);
}

TEST(ReflectorState, AWatchThatEndsAtOnceAndBroughtNothingIsAFailure) {
  ReflectorState state = watching();
  for (unsigned failures = 1; failures < 4; ++failures) {
    auto [ended, effects] = step(state, WatchEnded{milliseconds(3)});
    EXPECT_EQ(ended.failures, failures);
    EXPECT_TRUE(effects.wait);
    state = step(ended, WatchOpened{}).state;
  }
  EXPECT_EQ(step(state, WatchEnded{seconds(290)}).state.failures, 0u);
}

TEST(ReflectorState, ACallThatFailsKeepsItsPlaceAndWaits) {
  struct {
    ReflectorState before;
    Phase phase;
  } cases[] = {{{}, Phase::kEmpty},
               {listing(), Phase::kListing},
               {listed(), Phase::kListed},
               {watching(), Phase::kListed}};
  for (const auto& one : cases)
    for (CallFailed failure :
         {CallFailed{0, ""}, CallFailed{500, "InternalError"}, CallFailed{429, "TooManyRequests"}}) {
      auto [state, effects] = step(one.before, failure);
      EXPECT_EQ(state.phase, one.phase);
      EXPECT_EQ(state.resource_version, one.before.resource_version);
      EXPECT_EQ(state.continue_token, one.before.continue_token);
      EXPECT_EQ(state.failures, 1u);
      EXPECT_TRUE(effects.wait);
      EXPECT_EQ(effects.report, Report::kFailure);
    }
}

TEST(ReflectorState, FailuresAddUpUntilTheWatchIsUseful) {
  ReflectorState state = step(watching(), CallFailed{}).state;
  state = step(state, CallFailed{}).state;
  EXPECT_EQ(state.failures, 2u);
  state = step(state, WatchOpened{}).state;
  EXPECT_EQ(state.failures, 2u) << "to open a watch shows nothing yet";
  state = step(state, EventRead{WatchEventType::kBookmark, "11"}).state;
  EXPECT_EQ(state.failures, 0u);
}

TEST(ReflectorState, AWatchThatWasOpenForLongMakesItsEndTheFirstFailure) {
  ReflectorState state = watching();
  state.failures = 6;
  EXPECT_EQ(step(state, CallFailed{0, "", seconds(60)}).state.failures, 1u);
  EXPECT_EQ(step(state, CallFailed{0, "", seconds(1)}).state.failures, 7u);
}

TEST(ReflectorState, GoneMeansToListAgainFromEmpty) {
  for (const ReflectorState& before : {watching(), listed(), listing()})
    for (CallFailed gone : {CallFailed{410, "Gone"}, CallFailed{410, "Expired"}, CallFailed{0, "Expired"}}) {
      auto [state, effects] = step(before, gone);
      EXPECT_EQ(state.phase, Phase::kEmpty);
      EXPECT_EQ(state.resource_version, "");
      EXPECT_EQ(state.continue_token, "");
      EXPECT_EQ(state.is_synced, before.is_synced) << "what is in the store stays good enough to work with";
      EXPECT_FALSE(effects.wait) << "the first time it is the ordinary course of things";
      EXPECT_EQ(effects.report, Report::kNothing);
    }
}

TEST(ReflectorState, GoneAgainAndAgainIsWaitedOut) {
  ReflectorState state = watching();
  std::vector<bool> waits;
  for (int i = 0; i < 3; ++i) {
    auto [gone, effects] = step(state, CallFailed{410, "Expired"});
    waits.push_back(effects.wait);
    state = step(step(gone, PageRead{"20", ""}).state, WatchOpened{}).state;
  }
  EXPECT_EQ(waits, (std::vector<bool>{false, true, true}));
}

TEST(ReflectorState, ARefusalIsReportedOnceAndItsEndToo) {
  for (CallFailed refusal :
       {CallFailed{403, "Forbidden"}, CallFailed{401, "Unauthorized"}, CallFailed{404, "NotFound"}}) {
    auto [state, effects] = step({}, refusal);
    EXPECT_EQ(effects.report, Report::kFailure) << refusal.code;
    for (int i = 0; i < 3; ++i) {
      auto [again, more] = step(state, refusal);
      EXPECT_EQ(more.report, Report::kNothing) << refusal.code;
      EXPECT_TRUE(more.wait);
      state = again;
    }
    auto [allowed, end] = step(state, PageRead{"1", ""});
    EXPECT_EQ(end.report, Report::kRecovery) << refusal.code;
    EXPECT_EQ(allowed.refusal, "");
  }
}

TEST(ReflectorState, AnotherRefusalIsReportedAnew) {
  ReflectorState state = step({}, CallFailed{403, "Forbidden"}).state;
  EXPECT_EQ(step(state, CallFailed{401, "Unauthorized"}).effects.report, Report::kFailure);
}

TEST(ReflectorState, ARefusedWatchGoesOnFromItsVersionOnceItIsAllowed) {
  ReflectorState state = step(listed(), CallFailed{403, "Forbidden"}).state;
  EXPECT_EQ(state.phase, Phase::kListed);
  EXPECT_EQ(state.resource_version, "10");
  EXPECT_EQ(step(state, WatchOpened{}).effects.report, Report::kRecovery);
}

}  // namespace
}  // namespace hyper2kvm::kube
