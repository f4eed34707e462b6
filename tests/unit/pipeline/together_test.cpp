#include "runner/pipeline/together.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "runner/os/error.h"

namespace hyper2kvm::pipeline {
namespace {

using namespace std::chrono_literals;
using os::Error;
using os::ErrorKind;

void wait_for_stop(const os::StopToken& stop) {
  while (true) {
    stop.throw_if_stopped();
    std::this_thread::sleep_for(1ms);
  }
}

TEST(Together, WaitsForAll) {
  std::atomic<int> done = 0;
  Together tasks{os::StopToken()};
  for (int i = 0; i < 3; ++i) tasks.start([&](const os::StopToken&) { ++done; });
  tasks.wait();
  EXPECT_EQ(done, 3);
}

TEST(Together, TheCauseIsReportedAndNotItsConsequence) {
  Together tasks{os::StopToken()};
  tasks.start(wait_for_stop);
  tasks.start([](const os::StopToken&) { throw Error(ErrorKind::kInvalid, "disk-1", "is damaged"); });
  tasks.start(wait_for_stop);
  try {
    tasks.wait();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.sentence(), "disk-1: is damaged");
  }
}

TEST(Together, AStopFromOutsideIsACancellation) {
  os::StopSource source;
  Together tasks(source.token());
  tasks.start(wait_for_stop);
  source.request_stop();
  try {
    tasks.wait();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kCancelled);
  }
}

TEST(Together, GoingOutOfScopeStopsAndJoins) {
  std::atomic<bool> ended = false;
  {
    Together tasks{os::StopToken()};
    tasks.start([&](const os::StopToken& stop) {
      try {
        wait_for_stop(stop);
      } catch (const Error&) {
        ended = true;
        throw;
      }
    });
  }
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace hyper2kvm::pipeline
