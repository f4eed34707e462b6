// Against a scripted API server, over real sockets.
#include "operator/conversion/progress_reader.h"

#include <gtest/gtest.h>

#include <condition_variable>

#include "runner/contract/events.h"
#include "tests/unit/kube/fake_api_server.h"

namespace hyper2kvm::conversion {
namespace {

using kube::Answer;
using kube::FakeApiServer;
using kube::Gate;
using kube::ObjectKey;

const ObjectKey kWeb{"vms", "web"};
const ObjectKey kPod{"vms", "pod"};
const char* const kLog = "GET /api/v1/namespaces/vms/pods/pod/log";

std::string line(contract::Event event) { return contract::to_line(event) + "\n"; }
std::string copied(std::uint64_t done, std::uint64_t total = 100) {
  return line({.kind = contract::Event::Kind::kProgress,
               .stage = "convert",
               .done_bytes = done,
               .total_bytes = total,
               .bytes_per_second = 10,
               .seconds_left = 3});
}
std::string started(const std::string& stage) {
  return line({.kind = contract::Event::Kind::kStageStarted, .stage = stage});
}

class ProgressReaderTest : public testing::Test {
 protected:
  // Waits until the progress is like this; fails the test after a minute.
  void expect(const std::string& stage, std::int64_t done) {
    std::unique_lock lock(mutex_);
    bool is_so = changed_.wait_for(lock, std::chrono::seconds(60), [&] {
      auto now = reader.latest(kWeb);
      return now && now->stage == stage && now->done_bytes == done;
    });
    auto now = reader.latest(kWeb);
    EXPECT_TRUE(is_so) << (now ? now->stage + " " + std::to_string(now->done_bytes) : "nothing");
  }

  FakeApiServer server;
  std::shared_ptr<Gate> gate = std::make_shared<Gate>();
  std::mutex mutex_;
  std::condition_variable changed_;
  int reports = 0;
  ProgressReader reader{server.client(),
                        {2, std::chrono::milliseconds(0), &kube::Clock::real()},
                        [this](const ObjectKey& key) {
                          std::lock_guard lock(mutex_);
                          EXPECT_EQ(key, kWeb);
                          ++reports;
                          changed_.notify_all();
                        },
                        {}};
};

TEST_F(ProgressReaderTest, TellsTheLatestOfTheRunnersLog) {
  server.on(kLog, Answer::stream("text/plain")
                      .chunk(started("verify") + copied(10))
                      .wait_for(gate)
                      .torn_chunk(copied(60), 20)
                      .end());
  EXPECT_EQ(reader.latest(kWeb), std::nullopt);
  reader.follow(kWeb, kPod);
  expect("convert", 10);
  gate->open();
  expect("convert", 60);
  auto latest = reader.latest(kWeb);
  ASSERT_TRUE(latest);
  EXPECT_EQ(latest->total_bytes, 100);
  EXPECT_EQ(latest->bytes_per_second, 10);
  EXPECT_EQ(latest->seconds_left, 3);
  kube::ReceivedRequest request = server.requests(kLog).at(0);
  EXPECT_EQ(request.query["container"], "runner");
  EXPECT_EQ(request.query["follow"], "true");
}

TEST_F(ProgressReaderTest, PassesOverWhatIsNoEvent) {
  server.on(kLog, Answer::stream("text/plain")
                      .chunk("panic: at the disco\n{}\n{\"event\":\"progress\",\"done_bytes\":-1}\n" +
                             std::string(100000, 'x') + "\n" + copied(7))
                      .wait_for(gate));
  reader.follow(kWeb, kPod);
  expect("convert", 7);
}

TEST_F(ProgressReaderTest, TheCopyHidesWhatRunsBesideIt) {
  server.on(kLog, Answer::stream("text/plain")
                      .chunk(copied(5) + started("fix") + copied(100))
                      .wait_for(gate)
                      .chunk(started("validate"))
                      .end());
  reader.follow(kWeb, kPod);
  expect("convert", 100);
  gate->open();
  expect("validate", 0);
}

TEST_F(ProgressReaderTest, ALogThatBreaksOffIsOpenedAgain) {
  server.on(kLog, Answer::stream("text/plain").chunk(copied(1)).reset());
  server.on(kLog, Answer::stream("text/plain").chunk(copied(2)).wait_for(gate));
  reader.follow(kWeb, kPod);
  expect("convert", 2);
}

TEST_F(ProgressReaderTest, ForgetsAConversionThatIsOverAndFollowsAnotherPod) {
  server.on(kLog, Answer::stream("text/plain").chunk(copied(1)).wait_for(gate));
  server.on("GET /api/v1/namespaces/vms/pods/next/log",
            Answer::stream("text/plain").chunk(copied(3)).wait_for(gate));
  reader.follow(kWeb, kPod);
  expect("convert", 1);
  reader.follow(kWeb, kPod);
  EXPECT_EQ(server.requests(kLog).size(), 1u) << "it follows that one already";
  reader.follow(kWeb, {"vms", "next"});
  expect("convert", 3);
  reader.forget(kWeb);
  EXPECT_EQ(reader.latest(kWeb), std::nullopt);
}

TEST_F(ProgressReaderTest, ReadsAtMostSoManyLogsAtOnce) {
  server.serve("GET /api/v1/namespaces/vms/pods/a/log",
               [&](const auto&) { return Answer::stream().wait_for(gate); });
  server.serve("GET /api/v1/namespaces/vms/pods/b/log",
               [&](const auto&) { return Answer::stream().wait_for(gate); });
  reader.follow({"vms", "a"}, {"vms", "a"});
  reader.follow({"vms", "b"}, {"vms", "b"});
  reader.follow({"vms", "c"}, {"vms", "c"});
  server.wait_for_request("GET /api/v1/namespaces/vms/pods/a/log", 1);
  server.wait_for_request("GET /api/v1/namespaces/vms/pods/b/log", 1);
  reader.stop();
  EXPECT_EQ(server.requests().size(), 2u);
}

}  // namespace
}  // namespace hyper2kvm::conversion
