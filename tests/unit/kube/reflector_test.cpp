// The reflector against a server that lists, watches, and misbehaves.
#include "operator/kube/reflector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <thread>

#include "runner/os/file.h"
#include "tests/unit/kube/fake_api_server.h"
#include "tests/unit/kube/log_lines.h"
#include "tests/unit/kube/manual_clock.h"

namespace hyper2kvm::kube {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;

const std::string kPath = "/api/v1/namespaces/default/configmaps";

// What the reflector made of the objects, as words.
class Recorder final : public ReflectorSink {
 public:
  void stage(Json&& object) override { note("stage " + key_of(object).name); }
  void discard_staged() override { note("discard"); }
  void commit_staged() override { note("commit"); }
  void apply(WatchEventType type, Json&& object) override {
    static constexpr const char* kNames[] = {"added ", "modified ", "deleted ", "bookmark "};
    note(kNames[static_cast<int>(type)] + key_of(object).name);
  }

  std::vector<std::string> wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::minutes(1), [&] { return words_.size() >= count; }));
    return words_;
  }
  std::vector<std::string> words() {
    std::lock_guard lock(mutex_);
    return words_;
  }

 private:
  void note(std::string word) {
    std::lock_guard lock(mutex_);
    words_.push_back(std::move(word));
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> words_;
};

class ReflectorTest : public testing::Test {
 protected:
  ReflectorTest() {
    options.clock = &clock;
    options.random = [] { return 0.0; };
    client_options.clock = &clock;
  }
  void start() {
    reflector.emplace(Client::connect(config.value_or(server.config()), client_options), types::kConfigMaps,
                      Selection{"default", "app=x", ""}, recorder, Logger(log, LogLevel::kDebug, clock),
                      options);
    thread = std::jthread([this](const std::stop_token& stop) { reflector->run(stop); });
  }
  void stop() {
    thread.request_stop();
    thread.join();
    EXPECT_THAT(server.unexpected(), ElementsAre());
  }
  // A watch that stays open and brings nothing.
  Answer silent_watch() { return Answer::stream().wait_for(gate); }
  std::size_t failures_logged() const { return log->with_message("cannot keep the cache up to date").size(); }

  FakeApiServer server;
  std::optional<Config> config;  // where it is not the server's own
  ManualClock clock;
  std::shared_ptr<LogLines> log = std::make_shared<LogLines>();
  std::shared_ptr<Gate> gate = std::make_shared<Gate>();
  Recorder recorder;
  Reflector::Options options;
  Client::Options client_options;
  std::optional<Reflector> reflector;
  std::jthread thread;
};

TEST_F(ReflectorTest, ListsPageByPageAndThenWatches) {
  server.on("GET " + kPath, Answer::json(200, list_of({object("a", "1"), object("b", "2")}, "9", "next")));
  server.on("GET " + kPath, Answer::json(200, list_of({object("c", "3")}, "9")));
  server.on("WATCH " + kPath, Answer::stream()
                                  .event("ADDED", object("d", "10"))
                                  .event("MODIFIED", object("a", "11"))
                                  .event("DELETED", object("b", "12"))
                                  .wait_for(gate));
  options.page_size = 2;
  start();
  EXPECT_THAT(recorder.wait_for(8), ElementsAre("discard", "stage a", "stage b", "stage c", "commit",
                                                "added d", "modified a", "deleted b"));
  EXPECT_TRUE(reflector->is_synced());
  EXPECT_EQ(reflector->problem(), "");
  stop();
  auto requests = server.requests();
  EXPECT_EQ(requests[0].query["limit"], "2");
  EXPECT_EQ(requests[0].query["labelSelector"], "app=x");
  EXPECT_EQ(requests[1].query["continue"], "next");
  EXPECT_EQ(requests[2].query["resourceVersion"], "9");
  EXPECT_EQ(requests[2].query["labelSelector"], "app=x");
}

TEST_F(ReflectorTest, ANewWatchStartsFromTheLastBookmark) {
  server.on("GET " + kPath, Answer::json(200, list_of({}, "9")));
  server.on("WATCH " + kPath, Answer::stream().event("BOOKMARK", object("", "77")).end());
  server.on("WATCH " + kPath, silent_watch());
  start();
  EXPECT_EQ(server.wait_for_request("WATCH " + kPath, 2).query["resourceVersion"], "77");
  EXPECT_THAT(recorder.words(), ElementsAre("discard", "commit"));
  EXPECT_TRUE(clock.sleeps().empty());
  stop();
}

TEST_F(ReflectorTest, GoneListsAgainAndReplacesEverythingAtOnce) {
  Json gone = {{"kind", "Status"}, {"code", 410}, {"reason", "Expired"}, {"message", "too old"}};
  server.on("GET " + kPath, Answer::json(200, list_of({object("a", "1")}, "9")));
  server.on("WATCH " + kPath, Answer::stream().event("ADDED", object("b", "10")).event("ERROR", gone).end());
  server.on("GET " + kPath, Answer::json(200, list_of({object("c", "20")}, "20")));
  server.on("WATCH " + kPath, Answer::failure(410, "Expired"));
  server.on("GET " + kPath, Answer::json(200, list_of({object("d", "30")}, "30")));
  server.on("WATCH " + kPath, silent_watch());
  start();
  EXPECT_EQ(server.wait_for_request("WATCH " + kPath, 3).query["resourceVersion"], "30");
  EXPECT_THAT(recorder.words(), ElementsAre("discard", "stage a", "commit", "added b",  //
                                            "discard", "stage c", "commit",             //
                                            "discard", "stage d", "commit"));
  // The first is the ordinary course of things; the second, without any progress, has its pause.
  EXPECT_THAT(clock.sleeps(), ElementsAre(milliseconds(1600)));
  EXPECT_EQ(failures_logged(), 0u);
  stop();
  EXPECT_FALSE(server.requests("GET " + kPath)[1].query.contains("resourceVersion"));
}

TEST_F(ReflectorTest, AnExpiredPageListsAgainFromTheBeginning) {
  server.on("GET " + kPath, Answer::json(200, list_of({object("a", "1")}, "9", "next")));
  server.on("GET " + kPath, Answer::failure(410, "Expired"));
  server.on("GET " + kPath, Answer::json(200, list_of({object("b", "1")}, "10")));
  server.on("WATCH " + kPath, silent_watch());
  start();
  EXPECT_THAT(recorder.wait_for(5), ElementsAre("discard", "stage a", "discard", "stage b", "commit"));
  server.wait_for_request("WATCH " + kPath, 1);
  stop();
  EXPECT_FALSE(server.requests("GET " + kPath)[2].query.contains("continue"));
}

TEST_F(ReflectorTest, ABrokenWatchGoesOnFromTheLastEventAfterAPause) {
  server.on("GET " + kPath, Answer::json(200, list_of({}, "9")));
  server.on("WATCH " + kPath, Answer::stream().event("ADDED", object("a", "10")).reset());
  server.on("WATCH " + kPath,
            Answer::stream().event("ADDED", object("b", "11")).begun_chunk("{\"ty", 500).cut());
  server.on("WATCH " + kPath, Answer::stream().chunk("no event\n").wait_for(gate));
  server.on("WATCH " + kPath, silent_watch());
  start();
  EXPECT_EQ(server.wait_for_request("WATCH " + kPath, 2).query["resourceVersion"], "10");
  EXPECT_EQ(server.wait_for_request("WATCH " + kPath, 4).query["resourceVersion"], "11");
  EXPECT_THAT(recorder.words(), ElementsAre("discard", "commit", "added a", "added b"));
  EXPECT_THAT(clock.sleeps(), ElementsAre(milliseconds(800), milliseconds(800), milliseconds(1600)));
  EXPECT_EQ(failures_logged(), 3u);
  stop();
}

TEST_F(ReflectorTest, ComesThroughEverythingThatAServerMayDo) {
  os::TemporaryDirectory directory("reflector-test");
  const auto file = directory.path() / "token";
  os::write_text_atomically(file, "old");
  config = server.config();
  config->token_file = file;
  server.on("GET " + kPath, Answer::failure(429, "TooManyRequests").header("Retry-After", "3"));
  server.on("GET " + kPath, Answer::json(200, list_of({object("a", "1")}, "9", "more")));
  server.serve("GET " + kPath, [&](const ReceivedRequest& request) {
    // The token expires between two pages.
    if (request.headers.at("authorization") == "Bearer old") {
      os::write_text_atomically(file, "new");
      return Answer::failure(401, "Unauthorized");
    }
    bool is_second_page = request.query.contains("continue");
    return Answer::json(
        200, is_second_page ? list_of({object("b", "2")}, "9") : list_of({object("e", "30")}, "31"));
  });
  server.on("WATCH " + kPath, Answer::failure(429, "TooManyRequests").header("Retry-After", "2"));
  server.on("WATCH " + kPath,
            Answer::stream()
                .chunk(event_line("ADDED", object("c", "10")) + event_line("ADDED", object("d", "11")))
                .torn_chunk(event_line("MODIFIED", object("a", "12")), 20)
                .event("BOOKMARK", object("", "20"))
                .end());
  server.on("WATCH " + kPath, Answer::stream().event("DELETED", object("b", "21")).reset());
  server.on(
      "WATCH " + kPath,
      Answer::stream().event("ERROR", {{"kind", "Status"}, {"code", 410}, {"reason", "Expired"}}).end());
  server.on("WATCH " + kPath, silent_watch());
  start();
  EXPECT_EQ(server.wait_for_request("WATCH " + kPath, 5).query["resourceVersion"], "31");
  EXPECT_THAT(recorder.words(), ElementsAre("discard", "stage a", "stage b", "commit", "added c", "added d",
                                            "modified a", "deleted b", "discard", "stage e", "commit"));
  EXPECT_EQ(server.requests("WATCH " + kPath)[2].query["resourceVersion"], "20") << "the bookmark's";
  EXPECT_EQ(server.requests("WATCH " + kPath)[3].query["resourceVersion"], "21") << "the last event's";
  EXPECT_THAT(clock.sleeps(),
              testing::IsSupersetOf({Duration(std::chrono::seconds(3)), Duration(std::chrono::seconds(2))}));
  stop();
}

TEST_F(ReflectorTest, AServerThatIsDownIsAskedAtLongerAndLongerIntervals) {
  server.serve("GET " + kPath, [](const auto&) { return Answer::failure(503, "ServiceUnavailable"); });
  clock.on_sleep = [&](Duration) {
    if (clock.sleeps().size() == 8) thread.request_stop();
  };
  start();
  thread.join();
  EXPECT_THAT(clock.sleeps(), ElementsAre(milliseconds(800), milliseconds(1600), milliseconds(3200),
                                          milliseconds(6400), milliseconds(12800), milliseconds(25600),
                                          milliseconds(30000), milliseconds(30000)));
  EXPECT_FALSE(reflector->is_synced());
  EXPECT_NE(reflector->problem().find("ServiceUnavailable"), std::string::npos);
}

TEST_F(ReflectorTest, ARefusalIsReportedOnceAndAskedAgainSlowly) {
  auto allowed = std::make_shared<std::atomic<bool>>(false);
  server.serve("GET " + kPath, [allowed](const auto&) {
    return *allowed ? Answer::json(200, list_of({}, "9"))
                    : Answer::failure(403, "Forbidden", "configmaps is forbidden");
  });
  server.on("WATCH " + kPath, silent_watch());
  clock.on_sleep = [&](Duration) { *allowed = clock.sleeps().size() == 6; };
  start();
  server.wait_for_request("WATCH " + kPath, 1);
  EXPECT_EQ(failures_logged(), 1u);
  EXPECT_EQ(log->with_message("the server allows it again").size(), 1u);
  EXPECT_NE(log->all()[0]["error"].get<std::string>().find("verb \"list\" on configmaps"), std::string::npos);
  stop();
}

TEST_F(ReflectorTest, AWatchThatNeverStaysOpenIsNotALoopWithoutAPause) {
  server.on("GET " + kPath, Answer::json(200, list_of({}, "9")));
  server.serve("WATCH " + kPath, [](const auto&) { return Answer::stream().end(); });
  clock.on_sleep = [&](Duration) {
    if (clock.sleeps().size() == 3) thread.request_stop();
  };
  start();
  thread.join();
  EXPECT_THAT(clock.sleeps(), ElementsAre(milliseconds(800), milliseconds(1600), milliseconds(3200)));
}

TEST_F(ReflectorTest, AStopEndsAWatchThatIsSilent) {
  server.on("GET " + kPath, Answer::json(200, list_of({}, "9")));
  server.on("WATCH " + kPath, silent_watch());
  start();
  server.wait_for_request("WATCH " + kPath, 1);
  stop();
  EXPECT_EQ(failures_logged(), 0u);
}

}  // namespace
}  // namespace hyper2kvm::kube
