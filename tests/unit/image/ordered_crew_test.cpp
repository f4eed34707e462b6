#include "runner/image/ordered_crew.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "runner/os/error.h"

namespace hyper2kvm::image {
namespace {

using namespace std::chrono_literals;

// A job of three functions; counts how many of its kind are alive.
class Steps : public OrderedCrew::Job {
 public:
  explicit Steps(std::atomic<int>& alive) : alive_(alive) { ++alive_; }
  ~Steps() override { --alive_; }
  Steps(const Steps&) = delete;
  Steps& operator=(const Steps&) = delete;
  void prepare(unsigned worker, unsigned slot) override {
    if (on_prepare) on_prepare(worker, slot);
  }
  void place() override {
    if (on_place) on_place();
  }
  void write() override {
    if (on_write) on_write();
  }
  std::function<void(unsigned worker, unsigned slot)> on_prepare;
  std::function<void()> on_place;
  std::function<void()> on_write;

 private:
  std::atomic<int>& alive_;
};

class Crew : public testing::Test {
 protected:
  std::unique_ptr<Steps> job() { return std::make_unique<Steps>(alive); }
  // False when it did not come true within ten seconds.
  static bool eventually(const std::function<bool()>& holds) {
    for (int i = 0; i < 10000 && !holds(); ++i) std::this_thread::sleep_for(1ms);
    return holds();
  }
  std::atomic<int> alive{0};
};

TEST_F(Crew, PlacesInTheOrderOfSubmission) {
  std::mt19937_64 random(1);
  std::vector<int> order;  // no lock: one places at a time
  std::vector<std::atomic<int>> steps(300);
  {
    OrderedCrew crew(4, 7, {});
    for (int number = 0; number < 300; ++number) {
      std::unique_ptr<Steps> next = job();
      const auto pause = std::chrono::microseconds(random() % 300);
      next->on_prepare = [&steps, number, pause](unsigned, unsigned) {
        std::this_thread::sleep_for(pause);
        EXPECT_EQ(steps[static_cast<std::size_t>(number)]++, 0);
      };
      next->on_place = [&steps, &order, number] {
        EXPECT_EQ(steps[static_cast<std::size_t>(number)]++, 1);
        order.push_back(number);
      };
      next->on_write = [&steps, number] { EXPECT_EQ(steps[static_cast<std::size_t>(number)]++, 2); };
      crew.submit(std::move(next));
    }
    crew.finish();
    EXPECT_EQ(alive, 0);
  }
  ASSERT_EQ(order.size(), 300u);
  for (int number = 0; number < 300; ++number) {
    EXPECT_EQ(order[static_cast<std::size_t>(number)], number);
    EXPECT_EQ(steps[static_cast<std::size_t>(number)], 3);
  }
}

TEST_F(Crew, NobodyWaitsForASlowJobWhileThereAreSlots) {
  std::atomic<int> prepared{0};
  OrderedCrew crew(2, 6, {});
  std::unique_ptr<Steps> slow = job();
  // All other slots are used while this one holds up the order, and no more than these.
  slow->on_prepare = [&](unsigned, unsigned) {
    EXPECT_TRUE(eventually([&] { return prepared == 5; }));
    std::this_thread::sleep_for(20ms);
    EXPECT_EQ(prepared, 5);
  };
  crew.submit(std::move(slow));
  for (int i = 0; i < 20; ++i) {
    std::unique_ptr<Steps> next = job();
    next->on_prepare = [&](unsigned, unsigned) { ++prepared; };
    crew.submit(std::move(next));
  }
  crew.finish();
  EXPECT_EQ(prepared, 20);
}

TEST_F(Crew, ASlotIsAJobsUntilItIsWrittenAndAWorkerUntilItIsPrepared) {
  std::vector<std::atomic<int>> in_slot(5);
  std::vector<std::atomic<int>> of_worker(3);
  OrderedCrew crew(3, 5, {});
  for (int i = 0; i < 200; ++i) {
    std::unique_ptr<Steps> next = job();
    auto own = std::make_shared<unsigned>();
    next->on_prepare = [&, own](unsigned worker, unsigned slot) {
      *own = slot;
      EXPECT_EQ(in_slot.at(slot)++, 0);
      EXPECT_EQ(of_worker.at(worker)++, 0);
      std::this_thread::sleep_for(100us);
      --of_worker.at(worker);
    };
    next->on_write = [&, own] {
      std::this_thread::sleep_for(100us);
      --in_slot.at(*own);
    };
    crew.submit(std::move(next));
  }
  crew.finish();
}

TEST_F(Crew, TheFirstErrorOfAnyStepEndsIt) {
  for (int step = 0; step < 3; ++step) {
    SCOPED_TRACE(step);
    std::atomic<int> placed{0};
    {
      OrderedCrew crew(3, 6, {});
      const auto fail = [] { throw os::Error(os::ErrorKind::kInvalid, "the disk", "is damaged"); };
      try {
        for (int number = 0; number < 50; ++number) {
          std::unique_ptr<Steps> next = job();
          if (number == 10 && step == 0) next->on_prepare = [&](unsigned, unsigned) { fail(); };
          next->on_place = [&placed, &fail, number, step] {
            ++placed;
            if (number == 10 && step == 1) fail();
          };
          if (number == 10 && step == 2) next->on_write = fail;
          crew.submit(std::move(next));
        }
        crew.finish();
        ADD_FAILURE() << "the error is lost";
      } catch (const os::Error& error) {
        EXPECT_EQ(error.kind(), os::ErrorKind::kInvalid);
      }
      EXPECT_THROW(crew.throw_if_failed(), os::Error);
      EXPECT_THROW(crew.submit(job()), os::Error);
    }
    EXPECT_EQ(alive, 0);
    if (step == 0) {
      EXPECT_LE(placed, 10);
    }
    if (step == 1) {
      EXPECT_EQ(placed, 11);
    }
  }
}

TEST_F(Crew, WhatWaitsIsThrownAwayAtTheEnd) {
  std::atomic<bool> started{false};
  std::atomic<bool> go_on{false};
  std::atomic<int> placed{0};
  std::thread later;
  {
    OrderedCrew crew(1, 2, {});
    std::unique_ptr<Steps> first = job();
    first->on_prepare = [&](unsigned, unsigned) {
      started = true;
      EXPECT_TRUE(eventually([&] { return go_on.load(); }));
    };
    first->on_place = [&] { ++placed; };
    crew.submit(std::move(first));
    crew.submit(job());
    ASSERT_TRUE(eventually([&] { return started.load(); }));
    later = std::thread([&] {
      std::this_thread::sleep_for(50ms);
      go_on = true;
    });
  }
  later.join();
  EXPECT_TRUE(go_on) << "a step that runs is waited for";
  EXPECT_EQ(placed, 0);
  EXPECT_EQ(alive, 0);
}

TEST_F(Crew, AStopEndsTheWaiting) {
  os::StopSource stop;
  OrderedCrew crew(1, 1, stop.token());
  std::unique_ptr<Steps> first = job();
  first->on_prepare = [&](unsigned, unsigned) {
    stop.request_stop();
    std::this_thread::sleep_for(100ms);
  };
  crew.submit(std::move(first));
  try {
    crew.finish();
    ADD_FAILURE() << "it went on";
  } catch (const os::Error& error) {
    EXPECT_EQ(error.kind(), os::ErrorKind::kCancelled);
  }
}

}  // namespace
}  // namespace hyper2kvm::image
