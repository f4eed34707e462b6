// The elector against a server that keeps one lease and, as the real one, refuses to write an old version.
#include "operator/kube/leader_elector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/unit/kube/fake_api_server.h"
#include "tests/unit/kube/log_lines.h"
#include "tests/unit/kube/manual_clock.h"

namespace hyper2kvm::kube {
namespace {

using std::chrono::seconds;

const std::string kCollection = "/apis/coordination.k8s.io/v1/namespaces/system/leases";
const std::string kLease = kCollection + "/operator";

// The lease as the server has it.
class LeaseServer : public FakeApiServer {
 public:
  LeaseServer() {
    serve("GET " + kLease, [this](const auto&) {
      std::lock_guard lock(mutex);
      if (is_down) return Answer::failure(500, "InternalError");
      return lease.is_null() ? Answer::failure(404, "NotFound") : Answer::json(200, lease);
    });
    serve("POST " + kCollection, [this](const ReceivedRequest& request) {
      std::lock_guard lock(mutex);
      if (is_down) return Answer::failure(500, "InternalError");
      if (!lease.is_null()) return Answer::failure(409, "AlreadyExists");
      return store(Json::parse(request.body), 201);
    });
    serve("PUT " + kLease, [this](const ReceivedRequest& request) {
      std::lock_guard lock(mutex);
      if (is_down) return Answer::failure(500, "InternalError");
      Json written = Json::parse(request.body);
      if (resource_version_of(written) != resource_version_of(lease)) return Answer::failure(409, "Conflict");
      return store(std::move(written), 200);
    });
  }
  void hold(const std::string& holder) {
    std::lock_guard lock(mutex);
    Json held = {{"metadata", {{"name", "operator"}, {"namespace", "system"}}}};
    set_lease_record(held, {holder, seconds(15), "", "", 0});
    store(std::move(held), 200);
  }
  LeaseRecord record() {
    std::lock_guard lock(mutex);
    return lease_record(lease);
  }
  std::mutex mutex;
  std::atomic<bool> is_down = false;

 private:
  Answer store(Json written, int code) {
    written["metadata"]["resourceVersion"] = std::to_string(++version);
    lease = std::move(written);
    return Answer::json(code, lease);
  }
  Json lease;
  int version = 0;
};

class LeaderElectorTest : public testing::Test {
 protected:
  LeaderElector elector(const std::string& identity) {
    Client::Options options;
    options.clock = &clock;
    return LeaderElector(server.client(options), {"system", "operator", identity, {}},
                         Logger(log, LogLevel::kDebug, clock), clock, [] { return 0.5; });
  }
  LeaseServer server;
  ManualClock clock;
  std::shared_ptr<LogLines> log = std::make_shared<LogLines>();
  std::stop_source stop;
};

TEST_F(LeaderElectorTest, TheFirstReplicaCreatesTheLease) {
  LeaderElector one = elector("one");
  EXPECT_TRUE(one.acquire(stop.get_token()));
  EXPECT_TRUE(one.is_leader());
  EXPECT_EQ(server.record().holder, "one");
  EXPECT_EQ(server.record().duration, seconds(15));
  EXPECT_TRUE(clock.sleeps().empty());
}

TEST_F(LeaderElectorTest, AStandByLooksEveryTwoSecondsAndTakesOverWhenTheHolderIsSilent) {
  server.hold("other");
  LeaderElector one = elector("one");
  EXPECT_TRUE(one.acquire(stop.get_token()));
  EXPECT_EQ(server.record().holder, "one");
  EXPECT_EQ(server.record().transitions, 1);
  Duration waited{};
  for (Duration sleep : clock.sleeps()) {
    EXPECT_LE(sleep, std::chrono::milliseconds(2200));
    waited += sleep;
  }
  EXPECT_EQ(clock.sleeps().size(), 7u);
  EXPECT_EQ(waited, std::chrono::milliseconds(15010))
      << "not the rest of a look more than the holder's 15 seconds";
}

TEST_F(LeaderElectorTest, ALeaseThatIsReleasedIsTakenAtTheNextLook) {
  server.hold("other");
  clock.on_sleep = [&](Duration) { server.hold(""); };
  LeaderElector one = elector("one");
  EXPECT_TRUE(one.acquire(stop.get_token()));
  EXPECT_EQ(clock.sleeps().size(), 1u);
}

TEST_F(LeaderElectorTest, RenewingTakesOneRequest) {
  LeaderElector one = elector("one");
  one.acquire(stop.get_token());
  std::size_t before = server.requests().size();
  clock.on_sleep = [&](Duration) {
    if (clock.sleeps().size() == 6) stop.request_stop();
  };
  EXPECT_TRUE(one.hold(stop.get_token()));
  EXPECT_EQ(server.requests().size() - before, 5u);
  EXPECT_TRUE(one.is_leader());
}

TEST_F(LeaderElectorTest, AFailureThatPassesLosesNothing) {
  LeaderElector one = elector("one");
  one.acquire(stop.get_token());
  clock.on_sleep = [&](Duration) {
    std::size_t sleeps = clock.sleeps().size();
    server.is_down = sleeps >= 2 && sleeps <= 4;
    if (sleeps == 10) stop.request_stop();
  };
  EXPECT_TRUE(one.hold(stop.get_token()));
  EXPECT_EQ(server.record().holder, "one");
}

TEST_F(LeaderElectorTest, ALeaderThatCannotRenewStopsBeforeTheLeaseRunsOut) {
  LeaderElector one = elector("one");
  one.acquire(stop.get_token());
  server.is_down = true;
  Time renewed = clock.now();
  EXPECT_FALSE(one.hold(stop.get_token()));
  EXPECT_FALSE(one.is_leader());
  EXPECT_LT(clock.now() - renewed, seconds(15));
  EXPECT_EQ(log->with_message("the leadership is lost").size(), 1u);
}

TEST_F(LeaderElectorTest, ALeaderWhoseLeaseSomebodyElseHoldsStopsAtItsNextLook) {
  LeaderElector one = elector("one");
  one.acquire(stop.get_token());
  server.hold("usurper");
  EXPECT_FALSE(one.hold(stop.get_token()));
  EXPECT_LE(clock.sleeps().size(), 2u);
  EXPECT_EQ(server.record().holder, "usurper");
}

TEST_F(LeaderElectorTest, AFrozenLeaderDoesNotWriteWhenItWakes) {
  LeaderElector one = elector("one");
  one.acquire(stop.get_token());
  clock.on_sleep = [&](Duration) {
    if (clock.sleeps().size() == 1) clock.advance(seconds(60));
  };
  std::size_t before = server.requests().size();
  EXPECT_FALSE(one.hold(stop.get_token()));
  EXPECT_EQ(server.requests().size(), before);
}

TEST_F(LeaderElectorTest, AReleaseLetsTheNextOneInAtOnce) {
  LeaderElector one = elector("one"), two = elector("two");
  one.acquire(stop.get_token());
  one.release();
  EXPECT_FALSE(one.is_leader());
  EXPECT_EQ(server.record().holder, "");
  EXPECT_TRUE(two.acquire(stop.get_token()));
  EXPECT_TRUE(clock.sleeps().empty());
}

TEST_F(LeaderElectorTest, WhatSomebodyElseHoldsIsNotReleased) {
  LeaderElector one = elector("one");
  one.acquire(stop.get_token());
  server.hold("other");
  one.release();
  EXPECT_EQ(server.record().holder, "other");
}

TEST_F(LeaderElectorTest, AStandByThatIsStoppedIsNoLeader) {
  server.hold("other");
  clock.on_sleep = [&](Duration) { stop.request_stop(); };
  LeaderElector one = elector("one");
  EXPECT_FALSE(one.acquire(stop.get_token()));
  EXPECT_FALSE(one.is_leader());
  one.release();
  EXPECT_EQ(server.record().holder, "other");
}

TEST_F(LeaderElectorTest, OfManyThatStartAtOnceOneWins) {
  std::vector<std::jthread> threads;
  std::atomic<int> leaders = 0;
  std::vector<std::unique_ptr<ManualClock>> clocks;
  for (int i = 0; i < 6; ++i) clocks.push_back(std::make_unique<ManualClock>());
  // Whoever has to wait waits until somebody has won, looks a few times more (for less than the lease's
  // duration on its own clock), and gives up.
  for (auto& own : clocks)
    own->on_sleep = [&, looks = std::make_shared<int>(0)](Duration) {
      while (leaders == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      if (++*looks == 4) stop.request_stop();
    };
  for (int i = 0; i < 6; ++i)
    threads.emplace_back([&, i] {
      Client::Options options;
      options.clock = clocks[static_cast<std::size_t>(i)].get();
      LeaderElector one(server.client(options), {"system", "operator", "replica-" + std::to_string(i), {}},
                        Logger(), *clocks[static_cast<std::size_t>(i)], [] { return 0.0; });
      if (one.acquire(stop.get_token())) ++leaders;
    });
  threads.clear();
  EXPECT_EQ(leaders, 1);
}

TEST(LeaderIdentity, IsDifferentForEachProcess) { EXPECT_NE(unique_identity(), unique_identity()); }

}  // namespace
}  // namespace hyper2kvm::kube
