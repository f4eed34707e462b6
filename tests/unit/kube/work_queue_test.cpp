#include "operator/kube/work_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "tests/unit/kube/manual_clock.h"

namespace hyper2kvm::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;

const ObjectKey kA{"n", "a"}, kB{"n", "b"}, kC{"n", "c"};
constexpr Time at(int second) { return Time() + seconds(second); }

std::string name_of(const std::optional<WorkQueueState::Taken>& taken) {
  return taken ? taken->key.name : "-";
}

TEST(WorkQueueState, HandsOutKeysInTheOrderTheyCame) {
  WorkQueueState queue;
  queue.add(kB, at(0));
  queue.add(kA, at(1));
  auto first = queue.take(at(5));
  EXPECT_EQ(name_of(first), "b");
  EXPECT_EQ(first->waited, seconds(5));
  EXPECT_EQ(name_of(queue.take(at(5))), "a");
  EXPECT_EQ(name_of(queue.take(at(5))), "-");
}

TEST(WorkQueueState, AKeyIsInItOnce) {
  WorkQueueState queue;
  for (int i = 0; i < 5; ++i) queue.add(kA, at(i));
  EXPECT_EQ(queue.ready(), 1u);
  EXPECT_EQ(queue.adds(), 1u);
  EXPECT_EQ(queue.take(at(9))->waited, seconds(9)) << "since it was added first";
  EXPECT_EQ(name_of(queue.take(at(9))), "-");
}

TEST(WorkQueueState, AKeyInWorkIsNotHandedOutAgainUntilItIsDone) {
  WorkQueueState queue;
  queue.add(kA, at(0));
  queue.take(at(0));
  queue.add(kA, at(1));
  queue.add(kA, at(2));
  EXPECT_EQ(name_of(queue.take(at(3))), "-");
  EXPECT_EQ(queue.done(kA, at(4)), seconds(4));
  EXPECT_EQ(name_of(queue.take(at(5))), "a") << "it changed while it was worked on";
  queue.done(kA, at(6));
  EXPECT_EQ(name_of(queue.take(at(7))), "-") << "once is enough";
}

TEST(WorkQueueState, ADelayedKeyIsReadyWhenItsTimeHasCome) {
  WorkQueueState queue;
  queue.add_at(kA, at(10), at(0));
  queue.add_at(kB, at(5), at(0));
  EXPECT_EQ(queue.next_due(), at(5));
  EXPECT_EQ(name_of(queue.take(at(4))), "-");
  auto taken = queue.take(at(6));
  EXPECT_EQ(name_of(taken), "b");
  EXPECT_EQ(taken->waited, Duration::zero()) << "a delay is not waiting";
  EXPECT_EQ(queue.next_due(), at(10));
  EXPECT_EQ(name_of(queue.take(at(10))), "a");
  EXPECT_EQ(queue.next_due(), std::nullopt);
}

TEST(WorkQueueState, TheEarlierOfTwoDelaysCounts) {
  WorkQueueState queue;
  queue.add_at(kA, at(10), at(0));
  queue.add_at(kA, at(20), at(0));
  EXPECT_EQ(queue.next_due(), at(10));
  queue.add_at(kA, at(3), at(0));
  EXPECT_EQ(queue.next_due(), at(3));
  EXPECT_EQ(name_of(queue.take(at(3))), "a");
  queue.done(kA, at(3));
  EXPECT_EQ(name_of(queue.take(at(30))), "-");
}

TEST(WorkQueueState, AKeyThatIsAddedNowNeedsNoReminder) {
  WorkQueueState queue;
  queue.add_at(kA, at(10), at(0));
  queue.add(kA, at(1));
  EXPECT_EQ(queue.next_due(), std::nullopt);
  EXPECT_EQ(name_of(queue.take(at(1))), "a");
}

TEST(WorkQueueState, ADelayThatIsOverWhileItsKeyIsInWorkCountsAfterwards) {
  WorkQueueState queue;
  queue.add(kA, at(0));
  queue.take(at(0));
  queue.add_at(kA, at(5), at(1));
  EXPECT_EQ(name_of(queue.take(at(6))), "-");
  queue.done(kA, at(7));
  EXPECT_EQ(name_of(queue.take(at(7))), "a");
}

TEST(WorkQueueState, DroppedDelaysDoNotComeBack) {
  WorkQueueState queue;
  queue.add_at(kA, at(5), at(0));
  queue.add(kB, at(0));
  queue.drop_delayed();
  EXPECT_EQ(name_of(queue.take(at(9))), "b");
  EXPECT_EQ(name_of(queue.take(at(9))), "-");
}

TEST(WorkQueueState, HoldsItsRulesUnderAnyOrderOfCalls) {
  std::minstd_rand random(7);
  WorkQueueState queue;
  const std::vector<ObjectKey> keys = {kA, kB, kC};
  std::map<ObjectKey, bool> in_work;
  std::map<ObjectKey, bool> owed;  // added since it was handed out last
  Time now{};
  for (int i = 0; i < 20000; ++i) {
    now += milliseconds(random() % 100);
    const ObjectKey& key = keys[random() % 3];
    switch (random() % 4) {
      case 0:
        queue.add(key, now);
        owed[key] = true;
        break;
      case 1:
        queue.add_at(key, now + milliseconds(random() % 300), now);
        break;
      case 2:
        if (auto taken = queue.take(now)) {
          ASSERT_FALSE(in_work[taken->key]) << "handed out twice at once";
          in_work[taken->key] = true;
          owed[taken->key] = false;
        }
        break;
      case 3:
        if (in_work[key]) queue.done(key, now);
        in_work[key] = false;
        break;
    }
  }
  for (const ObjectKey& key : keys)
    if (in_work[key]) queue.done(key, now);
  while (auto taken = queue.take(now)) owed[taken->key] = false;
  for (const ObjectKey& key : keys) EXPECT_FALSE(owed[key]) << key.name << " was added and never handed out";
}

struct Counts final : WorkQueueObserver {
  void added(std::size_t) override { ++adds; }
  void taken(std::size_t depth, Duration waited) override {
    last_depth = depth;
    waits.push_back(waited);
  }
  void finished(Duration worked) override { works.push_back(worked); }
  void retried() override { ++retries; }
  int adds = 0, retries = 0;
  std::size_t last_depth = 0;
  std::vector<Duration> waits, works;
};

TEST(WorkQueue, FailuresComeBackLaterEachTimeUntilForgotten) {
  ManualClock clock;
  Counts counts;
  WorkQueue queue(kKeyBackoff, &counts, clock);
  for (int delay : {5, 10, 20, 40}) {
    queue.add_after_failure(kA);
    clock.advance(milliseconds(delay - 1));
    EXPECT_EQ(queue.take_if_ready(), std::nullopt) << delay;
    clock.advance(milliseconds(1));
    EXPECT_EQ(queue.take_if_ready(), kA) << delay;
    queue.done(kA);
  }
  EXPECT_EQ(queue.failures(kA), 4u);
  EXPECT_EQ(counts.retries, 4);
  queue.forget(kA);
  EXPECT_EQ(queue.failures(kA), 0u);
  queue.add_after_failure(kA);
  clock.advance(milliseconds(5));
  EXPECT_EQ(queue.take_if_ready(), kA);
}

TEST(WorkQueue, TellsItsObserver) {
  ManualClock clock;
  Counts counts;
  WorkQueue queue(kKeyBackoff, &counts, clock);
  queue.add(kA);
  queue.add(kA);
  queue.add(kB);
  clock.advance(seconds(2));
  EXPECT_EQ(queue.take({}), kA);
  EXPECT_EQ(counts.last_depth, 1u);
  clock.advance(seconds(3));
  queue.done(kA);
  EXPECT_EQ(counts.adds, 2);
  EXPECT_THAT(counts.waits, ElementsAre(seconds(2)));
  EXPECT_THAT(counts.works, ElementsAre(seconds(3)));
}

TEST(WorkQueue, ADelayedKeyWakesAWorkerThatWaits) {
  WorkQueue queue;
  queue.add_after(kB, std::chrono::hours(1));
  std::jthread adder([&] { queue.add_after(kA, milliseconds(5)); });
  EXPECT_EQ(queue.take({}), kA);
}

TEST(WorkQueue, AShutDownHandsOutWhatIsReadyAndNothingElse) {
  WorkQueue queue;
  queue.add(kA);
  queue.add_after(kB, std::chrono::hours(1));
  queue.shut_down();
  queue.add(kC);
  EXPECT_EQ(queue.take({}), kA);
  queue.add(kA);
  EXPECT_FALSE(queue.wait_until_idle(milliseconds(1))) << "a is in work";
  queue.done(kA);
  EXPECT_TRUE(queue.wait_until_idle(seconds(10)));
  EXPECT_EQ(queue.take({}), std::nullopt);
}

TEST(WorkQueue, AStopEndsTheWait) {
  WorkQueue queue;
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_EQ(queue.take(stop.get_token()), std::nullopt);
}

TEST(WorkQueue, ManyWorkersNeverHoldTheSameKeyAndMissNothing) {
  WorkQueue queue;
  constexpr int kKeys = 5, kRounds = 400;
  std::atomic<int> changes[kKeys] = {};  // what happened to the object
  std::atomic<int> seen[kKeys] = {};     // what a worker saw last
  std::atomic<bool> held[kKeys] = {};
  std::atomic<bool> twice = false;
  {
    std::vector<std::jthread> threads;
    for (int w = 0; w < 4; ++w)
      threads.emplace_back([&] {
        while (auto key = queue.take({})) {
          int k = std::stoi(key->name);
          if (held[k].exchange(true)) twice = true;
          seen[k] = changes[k].load();
          held[k] = false;
          queue.done(*key);
        }
      });
    {
      std::vector<std::jthread> writers;
      for (int w = 0; w < 2; ++w)
        writers.emplace_back([&] {
          for (int i = 0; i < kRounds; ++i) {
            int k = i % kKeys;
            ++changes[k];
            queue.add({"n", std::to_string(k)});
          }
        });
    }
    EXPECT_TRUE(queue.wait_until_idle(seconds(10)));
    queue.shut_down();
  }
  EXPECT_FALSE(twice);
  for (int k = 0; k < kKeys; ++k) EXPECT_EQ(seen[k], changes[k]);
}

}  // namespace
}  // namespace hyper2kvm::kube
