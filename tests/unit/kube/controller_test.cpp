#include "operator/kube/controller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "operator/kube/api_error.h"
#include "tests/unit/kube/log_lines.h"
#include "tests/unit/kube/manual_clock.h"

namespace hyper2kvm::kube {
namespace {

using os::Error;
using os::ErrorKind;
using std::chrono::milliseconds;
using std::chrono::seconds;

const ObjectKey kA{"n", "a"};

class ControllerTest : public testing::Test {
 protected:
  std::unique_ptr<Controller> controller(Reconcile reconcile) {
    ControllerOptions options;
    options.name = "vm";
    options.kind = "VM";
    options.clock = &clock;
    return std::make_unique<Controller>(options, std::move(reconcile), metrics,
                                        Logger(log, LogLevel::kDebug, clock));
  }
  std::string count(const std::string& result) {
    std::string start = "controller_runtime_reconcile_total{controller=\"vm\",result=\"" + result + "\"} ";
    std::string text = metrics.text();
    std::size_t at = text.find(start) + start.size();
    return text.substr(at, text.find('\n', at) - at);
  }
  // After how long the key is ready again; nothing for never.
  std::optional<milliseconds> ready_again(Controller& one) {
    for (milliseconds waited{0}; waited < seconds(100); waited += milliseconds(1)) {
      if (auto key = one.queue().take_if_ready()) {
        one.queue().done(*key);
        return waited;
      }
      clock.advance(milliseconds(1));
    }
    return std::nullopt;
  }
  ManualClock clock;
  Metrics metrics;
  std::shared_ptr<LogLines> log = std::make_shared<LogLines>();
};

TEST_F(ControllerTest, ASuccessIsForgotten) {
  bool fail = true;
  auto one = controller([&](const ReconcileRequest&) {
    if (fail) throw Error(ErrorKind::kSystem, "x", "failed");
    return ReconcileOutcome::done();
  });
  one->reconcile(kA);
  EXPECT_EQ(ready_again(*one), milliseconds(5));
  one->reconcile(kA);
  EXPECT_EQ(ready_again(*one), milliseconds(10));
  fail = false;
  one->reconcile(kA);
  EXPECT_EQ(one->queue().failures(kA), 0u);
  EXPECT_EQ(ready_again(*one), std::nullopt);
  EXPECT_EQ(count("error"), "2");
  EXPECT_EQ(count("success"), "1");
}

TEST_F(ControllerTest, ComesBackWhenItWasAskedTo) {
  auto one =
      controller([](const ReconcileRequest&) { return ReconcileOutcome::again_after(milliseconds(30)); });
  one->reconcile(kA);
  EXPECT_EQ(ready_again(*one), milliseconds(30));
  EXPECT_EQ(count("requeue_after"), "1");
}

TEST_F(ControllerTest, ComesBackWithABackOff) {
  auto one = controller([](const ReconcileRequest&) { return ReconcileOutcome::again(); });
  for (int delay : {5, 10, 20}) {
    one->reconcile(kA);
    EXPECT_EQ(ready_again(*one), milliseconds(delay));
  }
  EXPECT_EQ(count("requeue"), "3");
  EXPECT_TRUE(log->all().empty());
}

TEST_F(ControllerTest, AFailureIsLoggedWithItsKeyAndId) {
  std::string id;
  auto one = controller([&](const ReconcileRequest& request) -> ReconcileOutcome {
    id = request.reconcile_id;
    throw Error(ErrorKind::kInvalid, "n/a", "is strange");
  });
  one->reconcile(kA);
  ASSERT_EQ(log->all().size(), 1u);
  Json line = log->all()[0];
  EXPECT_EQ(line["level"], "error");
  EXPECT_EQ(line["controller"], "vm");
  EXPECT_EQ(line["namespace"], "n");
  EXPECT_EQ(line["name"], "a");
  EXPECT_EQ(line["reconcileID"], id);
  EXPECT_EQ(line["error"], "n/a: is strange");
  one->reconcile(kA);
  EXPECT_NE(log->all()[1]["reconcileID"], line["reconcileID"]);
}

TEST_F(ControllerTest, AForeignExceptionIsAFailureOfTheKeyAndNotOfTheProgram) {
  auto one = controller([](const ReconcileRequest&) {
    return ReconcileOutcome::again_after(seconds(Json::parse("{").size()));
  });
  one->reconcile(kA);
  EXPECT_EQ(count("error"), "1");
  EXPECT_EQ(one->queue().failures(kA), 1u);
}

TEST_F(ControllerTest, AConflictIsTheOrdinaryCourseOfThings) {
  auto one = controller([](const ReconcileRequest&) -> ReconcileOutcome {
    throw ApiError("update", "vms n/a", {409, "Conflict", "changed", std::nullopt});
  });
  one->reconcile(kA);
  EXPECT_EQ(count("requeue"), "1");
  EXPECT_EQ(count("error"), "0");
  EXPECT_EQ(log->all()[0]["level"], "info");
  EXPECT_EQ(ready_again(*one), milliseconds(5));
}

TEST_F(ControllerTest, WhatIsGivenUpBecauseTheProgramStopsIsNoFailure) {
  auto one = controller([](const ReconcileRequest&) -> ReconcileOutcome {
    throw Error(ErrorKind::kCancelled, "x", "stopped");
  });
  one->request_stop();
  one->reconcile(kA);
  EXPECT_EQ(one->queue().failures(kA), 0u);
  EXPECT_EQ(log->with_message("reconcile failed").size(), 0u);
}

// With threads, on the real clock.
class ControllerThreads : public testing::Test {
 protected:
  std::unique_ptr<Controller> controller(unsigned workers, Reconcile reconcile) {
    ControllerOptions options;
    options.name = "vm";
    options.workers = workers;
    return std::make_unique<Controller>(options, std::move(reconcile), metrics, Logger());
  }
  Metrics metrics;
};

TEST_F(ControllerThreads, KeysOfBeforeTheStartAreWorkedOn) {
  std::atomic<int> seen = 0;
  auto one = controller(3, [&](const ReconcileRequest&) {
    ++seen;
    return ReconcileOutcome::done();
  });
  for (int i = 0; i < 50; ++i) one->queue().add({"n", std::to_string(i)});
  one->start();
  EXPECT_TRUE(one->drain(seconds(10)));
  EXPECT_EQ(seen, 50);
  one->join();
}

TEST_F(ControllerThreads, ADrainFinishesWhatRunsAndTellsWhenItCannot) {
  std::atomic<bool> running = false, stopped = false;
  auto one = controller(1, [&](const ReconcileRequest& request) {
    running = true;
    Clock::real().sleep(std::chrono::hours(1), request.stop);
    stopped = request.stop.stop_requested();
    return ReconcileOutcome::done();
  });
  one->queue().add(kA);
  one->start();
  while (!running) std::this_thread::yield();
  EXPECT_FALSE(one->drain(milliseconds(1)));
  one->join();
  EXPECT_TRUE(stopped);
}

}  // namespace
}  // namespace hyper2kvm::kube
