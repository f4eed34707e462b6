// The rules of the leader election, one by one and with three replicas in a simulated world.
#include "operator/kube/election.h"

#include <gtest/gtest.h>

#include <random>

#include "operator/kube/timestamp.h"

namespace hyper2kvm::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Time at(int second) { return Time() + seconds(second); }
const Calendar kNoon = Calendar(seconds(1714564800));

ElectionState me() {
  ElectionState state;
  state.identity = "me";
  return state;
}
LeaseRecord held_by(const std::string& holder, const std::string& renewed = "2024-05-01T12:00:00.000000Z") {
  return {holder, seconds(15), "2024-05-01T11:00:00.000000Z", renewed, 3};
}

TEST(Election, WithoutALeaseOneIsCreated) {
  ElectionState state = me();
  EXPECT_EQ(decide(state, std::nullopt, at(0)), ElectionAction::kCreate);
  LeaseRecord record = next_record(state, ElectionAction::kCreate, kNoon);
  EXPECT_EQ(record, (LeaseRecord{"me", seconds(15), to_micro_time(kNoon), to_micro_time(kNoon), 0}));
}

TEST(Election, AnothersLeaseIsRespectedForItsDurationSinceItWasSeenToChange) {
  ElectionState state = me();
  EXPECT_EQ(decide(state, held_by("other"), at(100)), ElectionAction::kWait);
  EXPECT_EQ(decide(state, held_by("other"), at(115)), ElectionAction::kWait);
  EXPECT_EQ(decide(state, held_by("other"), at(116)), ElectionAction::kTake);
  EXPECT_EQ(decide(state, held_by("other", "2024-05-01T12:00:09.000000Z"), at(117)), ElectionAction::kWait)
      << "the holder is alive after all";
  EXPECT_EQ(decide(state, held_by("other", "2024-05-01T12:00:09.000000Z"), at(133)), ElectionAction::kTake);
}

TEST(Election, TheCalendarOfTheHolderDoesNotMatter) {
  ElectionState state = me();
  for (const char* renewed : {"1999-01-01T00:00:00.000000Z", "2099-01-01T00:00:00.000000Z", "nonsense", ""})
    EXPECT_EQ(decide(state, held_by("other", renewed), at(0)), ElectionAction::kWait) << renewed;
}

TEST(Election, TheHoldersOwnDurationCounts) {
  ElectionState state = me();
  LeaseRecord longer = held_by("other");
  longer.duration = seconds(60);
  decide(state, longer, at(0));
  EXPECT_EQ(decide(state, longer, at(59)), ElectionAction::kWait);
  EXPECT_EQ(decide(state, longer, at(61)), ElectionAction::kTake);
}

TEST(Election, AReleasedLeaseIsTakenAtOnce) {
  ElectionState state = me();
  EXPECT_EQ(decide(state, held_by(""), at(0)), ElectionAction::kTake);
  LeaseRecord record = next_record(state, ElectionAction::kTake, kNoon);
  EXPECT_EQ(record.transitions, 4);
  EXPECT_EQ(record.acquire_time, to_micro_time(kNoon));
}

TEST(Election, ARenewalKeepsWhenItWasAcquired) {
  ElectionState state = me();
  EXPECT_EQ(decide(state, held_by("me"), at(0)), ElectionAction::kRenew);
  LeaseRecord record = next_record(state, ElectionAction::kRenew, kNoon + seconds(5));
  EXPECT_EQ(record.acquire_time, "2024-05-01T11:00:00.000000Z");
  EXPECT_EQ(record.renew_time, to_micro_time(kNoon + seconds(5)));
  EXPECT_EQ(record.transitions, 3);
}

TEST(Election, ALeaderThatCannotRenewGivesUpBeforeAnybodyElseMayTakeOver) {
  ElectionState state = me();
  written(state, next_record(state, ElectionAction::kCreate, kNoon), at(100));
  EXPECT_TRUE(state.is_leader);
  EXPECT_FALSE(has_lost(state, at(110)));
  EXPECT_TRUE(has_lost(state, at(111)));
  EXPECT_LT(state.times.renew_deadline, state.times.duration);
}

TEST(Election, ALeaderThatSeesAnotherIsNone) {
  ElectionState state = me();
  written(state, next_record(state, ElectionAction::kCreate, kNoon), at(0));
  EXPECT_EQ(decide(state, held_by("other"), at(1)), ElectionAction::kWait);
  EXPECT_FALSE(state.is_leader);
}

TEST(Election, ALeaderWhoseLeaseWasDeletedMakesItAgain) {
  ElectionState state = me();
  written(state, next_record(state, ElectionAction::kCreate, kNoon), at(0));
  EXPECT_EQ(decide(state, std::nullopt, at(1)), ElectionAction::kCreate);
  EXPECT_TRUE(state.is_leader);
}

TEST(Election, AReleaseLeavesNobodyAndAShortDuration) {
  ElectionState state = me();
  written(state, held_by("me"), at(0));
  LeaseRecord released = released_record(state, kNoon);
  EXPECT_EQ(released.holder, "");
  EXPECT_EQ(released.duration, seconds(1));
  EXPECT_EQ(released.transitions, 3);
}

TEST(Election, ARecordIsReadAsItWasWritten) {
  Json lease = {{"metadata", {{"name", "x"}}}};
  set_lease_record(lease, held_by("me"));
  EXPECT_EQ(lease_record(lease), held_by("me"));
  EXPECT_EQ(lease["spec"]["leaseDurationSeconds"], 15);
  EXPECT_EQ(lease_record(Json::parse(R"({"spec":{"leaseDurationSeconds":1e99,"holderIdentity":7}})")),
            LeaseRecord());
  EXPECT_EQ(lease_record(Json::parse(R"({"spec":{"leaseDurationSeconds":999999999}})")).duration,
            seconds(3600));
}

// Replicas whose clocks are apart, whose requests take time or fail, and that freeze for a while. The lease
// is written only on the version that was read, as the API server makes sure.
TEST(Election, NeverHasTwoLeadersAndSoonHasOneAgain) {
  int takeovers = 0;
  for (unsigned seed = 1; seed <= 40; ++seed) {
    std::minstd_rand random(seed);
    auto upto = [&](int bound) { return static_cast<int>(random() % static_cast<unsigned>(bound)); };
    struct Replica {
      ElectionState state;
      Duration skew{};      // of its own clock
      Time next{};          // when it looks again, in the world's time
      Time frozen_until{};  // it does nothing before
    };
    std::vector<Replica> replicas(3);
    for (std::size_t i = 0; i < replicas.size(); ++i) {
      replicas[i].state.identity = "replica-" + std::to_string(i);
      replicas[i].skew = seconds(upto(100000));
    }
    std::optional<LeaseRecord> lease;
    Duration without_leader{}, longest_without_leader{};
    std::string last;
    for (Time now{}; now < at(2000); now += milliseconds(100)) {
      int leaders = 0;
      for (Replica& replica : replicas) {
        Time own = now + replica.skew;
        if (now < replica.frozen_until) {
          // It writes nothing while it is frozen; as soon as it wakes it looks at its deadline first.
          continue;
        }
        if (has_lost(replica.state, own)) replica.state.is_leader = false;
        if (replica.state.is_leader) {
          ++leaders;
          if (last != replica.state.identity) ++takeovers;
          last = replica.state.identity;
        }
        if (now < replica.next) continue;
        replica.next = now + seconds(2) + milliseconds(upto(400));
        if (upto(300) == 0) replica.frozen_until = now + seconds(upto(40));
        if (upto(10) == 0) continue;  // its request fails
        ElectionAction action = decide(replica.state, lease, own);
        if (action == ElectionAction::kWait) continue;
        LeaseRecord record =
            next_record(replica.state, action, Calendar(std::chrono::floor<seconds>(own.time_since_epoch())));
        record.renew_time = std::to_string(now.time_since_epoch().count());
        lease = record;
        if (upto(20) != 0) written(replica.state, record, own);  // or the answer was lost
      }
      ASSERT_LE(leaders, 1) << "seed " << seed;
      without_leader = leaders == 0 ? without_leader + milliseconds(100) : Duration::zero();
      longest_without_leader = std::max(longest_without_leader, without_leader);
    }
    EXPECT_LT(longest_without_leader, seconds(60)) << "seed " << seed;
  }
  EXPECT_GT(takeovers, 100) << "else this test has shown nothing";
}

}  // namespace
}  // namespace hyper2kvm::kube
