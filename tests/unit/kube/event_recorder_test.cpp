#include "operator/kube/event_recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/kube/fake_api_server.h"
#include "tests/unit/kube/log_lines.h"
#include "tests/unit/kube/manual_clock.h"

namespace hyper2kvm::kube {
namespace {

using std::chrono::seconds;

const std::string kCollection = "/api/v1/namespaces/default/events";

class EventRecorderTest : public testing::Test {
 protected:
  void record(const std::string& message) {
    recorder.record({reference_to(types::kConfigMaps, object("a", "1")), false, "Happened", message});
  }
  void flush() { ASSERT_TRUE(recorder.flush(seconds(10))); }

  FakeApiServer server;
  ManualClock clock;
  std::shared_ptr<LogLines> log = std::make_shared<LogLines>();
  EventRecorder recorder{server.client(), "test", "host", Logger(log, LogLevel::kDebug, clock), clock};
};

TEST_F(EventRecorderTest, CreatesAnEventAndThenCounts) {
  std::string path;
  server.serve("POST " + kCollection, [&](const ReceivedRequest& request) {
    path = kCollection + "/" + key_of(Json::parse(request.body)).name;
    server.on("PATCH " + path, Answer::json(200, {}));
    return Answer::json(201, {});
  });
  record("one");
  record("one");
  flush();
  ASSERT_EQ(server.requests("PATCH " + path).size(), 1u);
  Json patch = Json::parse(server.requests("PATCH " + path)[0].body);
  EXPECT_EQ(patch["count"], 2);
  EXPECT_EQ(server.requests("PATCH " + path)[0].headers["content-type"], "application/merge-patch+json");
}

TEST_F(EventRecorderTest, AnEventThatIsGoneByNowIsWrittenAnew) {
  server.serve("POST " + kCollection, [&](const ReceivedRequest& request) {
    server.on("PATCH " + kCollection + "/" + key_of(Json::parse(request.body)).name,
              Answer::failure(404, "NotFound"));
    return Answer::json(201, {});
  });
  record("one");
  record("one");
  flush();
  auto posts = server.requests("POST " + kCollection);
  ASSERT_EQ(posts.size(), 2u);
  EXPECT_EQ(Json::parse(posts[1].body)["count"], 2);
}

TEST_F(EventRecorderTest, AServerThatRefusesEventsDoesNotDisturb) {
  server.serve("POST " + kCollection, [](const auto&) { return Answer::failure(403, "Forbidden"); });
  record("one");
  record("two");
  flush();
  EXPECT_EQ(log->with_message("an event cannot be written").size(), 2u);
}

TEST_F(EventRecorderTest, TooManyThatWaitAreDropped) {
  auto gate = std::make_shared<Gate>();
  server.on("POST " + kCollection, Answer::bytes("").wait_for(gate).cut());
  record("first");
  server.wait_for_request("POST " + kCollection, 1);
  for (int i = 0; i < 300; ++i) record("m");
  EXPECT_EQ(log->with_message("an event is dropped: too many are waiting").size(), 300u - 256u);
  server.serve("POST " + kCollection, [](const auto&) { return Answer::json(201, {}); });
  gate->open();
}

}  // namespace
}  // namespace hyper2kvm::kube
