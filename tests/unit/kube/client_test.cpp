#include "operator/kube/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "runner/os/file.h"
#include "tests/unit/kube/api_error_of.h"
#include "tests/unit/kube/fake_api_server.h"
#include "tests/unit/kube/manual_clock.h"

namespace hyper2kvm::kube {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;

const ResourceType kMaps = types::kConfigMaps;
const std::string kCollection = "/api/v1/namespaces/default/configmaps";

class ClientTest : public testing::Test {
 protected:
  ClientTest() {
    options.clock = &clock;
    options.observer = [this](const RequestRecord& record) {
      records.push_back(record.method + " " + std::to_string(record.code));
    };
  }
  void TearDown() override { EXPECT_THAT(server.unexpected(), ElementsAre()); }
  Client client() { return server.client(options); }

  ManualClock clock;
  Client::Options options;
  std::vector<std::string> records;
  FakeApiServer server;
};

TEST_F(ClientTest, ReadsAnObject) {
  server.on("GET " + kCollection + "/a", Answer::json(200, object("a", "1")));
  EXPECT_EQ(key_of(client().get(kMaps, {"default", "a"})).name, "a");
  EXPECT_EQ(server.requests().at(0).headers["accept"], "application/json");
  EXPECT_EQ(server.requests().at(0).headers["user-agent"], "hyper2kvm-operator");
  EXPECT_THAT(records, ElementsAre("GET 200"));
}

TEST_F(ClientTest, AnObjectThatIsNotThereIsNothingToFindAndAnErrorToGet) {
  for (int i = 0; i < 2; ++i) server.on("GET " + kCollection + "/a", Answer::failure(404, "NotFound"));
  EXPECT_EQ(client().find(kMaps, {"default", "a"}), std::nullopt);
  EXPECT_TRUE(api_error_of([&] { client().get(kMaps, {"default", "a"}); }).is_not_found());
}

TEST_F(ClientTest, CreatesInTheObjectsNamespace) {
  server.on("POST " + kCollection, Answer::json(201, object("a", "1")));
  EXPECT_EQ(resource_version_of(client().create(kMaps, object("a", ""))), "1");
  EXPECT_EQ(Json::parse(server.requests().at(0).body), object("a", ""));
  EXPECT_EQ(server.requests().at(0).headers["content-type"], "application/json");
}

TEST_F(ClientTest, WhatExistsAlreadyIsReadInsteadOfCreated) {
  server.on("POST " + kCollection, Answer::failure(409, "AlreadyExists"));
  server.on("GET " + kCollection + "/a", Answer::json(200, object("a", "5")));
  auto [existing, created] = client().create_or_get(kMaps, object("a", ""));
  EXPECT_FALSE(created);
  EXPECT_EQ(resource_version_of(existing), "5");
}

TEST_F(ClientTest, AChangeIsMadeAgainOnTheNewVersionAfterAConflict) {
  server.on("GET " + kCollection + "/a", Answer::json(200, object("a", "1")));
  server.on("PUT " + kCollection + "/a", Answer::failure(409, "Conflict"));
  server.on("GET " + kCollection + "/a", Answer::json(200, object("a", "2")));
  server.on("PUT " + kCollection + "/a", Answer::json(200, object("a", "3")));
  int changes = 0;
  Json result = client().change(kMaps, {"default", "a"}, [&](Json& read) {
    read["data"]["x"] = "y";
    return ++changes > 0;
  });
  EXPECT_EQ(changes, 2);
  EXPECT_EQ(resource_version_of(result), "3");
  Json written = Json::parse(server.requests().back().body);
  EXPECT_EQ(resource_version_of(written), "2");
  EXPECT_EQ(written["data"]["x"], "y");
}

TEST_F(ClientTest, AChangeThatIsNoneIsNotWritten) {
  server.on("GET " + kCollection + "/a", Answer::json(200, object("a", "1")));
  client().change(kMaps, {"default", "a"}, [](Json&) { return false; });
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST_F(ClientTest, AChangeThatMeetsConflictsForEverIsGivenUp) {
  server.serve("GET " + kCollection + "/a", [](const auto&) { return Answer::json(200, object("a", "1")); });
  server.serve("PUT " + kCollection + "/a", [](const auto&) { return Answer::failure(409, "Conflict"); });
  EXPECT_TRUE(api_error_of([&] {
                client().change(kMaps, {"default", "a"}, [](Json&) { return true; });
              }).is_conflict());
  EXPECT_EQ(server.requests("PUT " + kCollection + "/a").size(), 5u);
}

TEST_F(ClientTest, PatchesSayWhatKindTheyAre) {
  for (int i = 0; i < 3; ++i) server.on("PATCH " + kCollection + "/a", Answer::json(200, object("a", "2")));
  server.on("PATCH " + kCollection + "/a/status", Answer::json(200, object("a", "2")));
  ObjectKey key{"default", "a"};
  client().patch(kMaps, key, PatchKind::kMerge, {{"data", nullptr}});
  client().patch(kMaps, key, PatchKind::kJson, Json::parse(R"([{"op":"remove","path":"/data"}])"));
  Json mine = object("a", "");
  mine.erase("kind");
  mine["metadata"]["managedFields"] = {1, 2};
  client().apply(kMaps, mine, "me");
  client().apply(kMaps, mine, "me", false, "status");
  auto requests = server.requests();
  EXPECT_EQ(requests[0].headers["content-type"], "application/merge-patch+json");
  EXPECT_EQ(requests[0].body, R"({"data":null})");
  EXPECT_EQ(requests[1].headers["content-type"], "application/json-patch+json");
  EXPECT_EQ(requests[2].headers["content-type"], "application/apply-patch+yaml");
  EXPECT_EQ(requests[2].query["fieldManager"], "me");
  EXPECT_EQ(requests[2].query["force"], "true");
  Json applied = Json::parse(requests[2].body);
  EXPECT_EQ(applied["kind"], "ConfigMap");
  EXPECT_FALSE(applied["metadata"].contains("managedFields"));
  EXPECT_FALSE(requests[3].query.contains("force"));
}

TEST_F(ClientTest, ADeleteSaysWhatBecomesOfTheChildrenAndWhichObjectIsMeant) {
  server.on("DELETE " + kCollection + "/a", Answer::json(200, {{"kind", "Status"}, {"status", "Success"}}));
  DeleteOptions deletion;
  deletion.propagation = DeleteOptions::Propagation::kForeground;
  deletion.uid = "u";
  deletion.grace_period = seconds(3);
  EXPECT_TRUE(client().remove(kMaps, {"default", "a"}, deletion));
  EXPECT_EQ(Json::parse(server.requests().at(0).body),
            Json::parse(R"({"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Foreground",
                            "preconditions":{"uid":"u"},"gracePeriodSeconds":3})"));
}

TEST_F(ClientTest, DeletingWhatIsNotThereOrIsAnotherByNowIsNoError) {
  server.on("DELETE " + kCollection + "/a", Answer::failure(404, "NotFound"));
  server.on("DELETE " + kCollection + "/a", Answer::failure(409, "Conflict"));
  EXPECT_FALSE(client().remove(kMaps, {"default", "a"}));
  DeleteOptions deletion;
  deletion.uid = "u";
  EXPECT_FALSE(client().remove(kMaps, {"default", "a"}, deletion));
}

TEST_F(ClientTest, ListsAllPages) {
  server.on("GET " + kCollection,
            Answer::json(200, list_of({object("a", "1"), object("b", "2")}, "9", "next")));
  server.on("GET " + kCollection, Answer::json(200, list_of({object("c", "3")}, "9")));
  ListOptions list;
  list.name_space = "default";
  list.label_selector = "app in (x,y)";
  list.limit = 2;
  auto objects = client().list(kMaps, list);
  ASSERT_EQ(objects.size(), 3u);
  EXPECT_EQ(objects[2]["kind"], "ConfigMap");
  auto requests = server.requests();
  EXPECT_EQ(requests[0].query["limit"], "2");
  EXPECT_EQ(requests[0].query["labelSelector"], "app in (x,y)");
  EXPECT_EQ(requests[1].query["continue"], "next");
}

TEST_F(ClientTest, AListWhosePagesExpireIsReadAgainFromItsBeginning) {
  server.on("GET " + kCollection, Answer::json(200, list_of({object("a", "1")}, "9", "next")));
  server.on("GET " + kCollection, Answer::failure(410, "Expired"));
  server.on("GET " + kCollection, Answer::json(200, list_of({object("b", "1")}, "10")));
  auto objects = client().list(kMaps, {{"default", "", ""}});
  ASSERT_EQ(objects.size(), 1u);
  EXPECT_EQ(key_of(objects[0]).name, "b");
}

TEST_F(ClientTest, AWatchHandsOutEventsWhereverTheyAreSplit) {
  std::string both = event_line("ADDED", object("a", "1")) + event_line("MODIFIED", object("a", "2"));
  std::string third = event_line("DELETED", object("a", "3"));
  server.on("WATCH " + kCollection, Answer::stream()
                                        .chunk(both)
                                        .chunk(third.substr(0, 20))
                                        .torn_chunk(third.substr(20), 5)
                                        .event("BOOKMARK", {{"metadata", {{"resourceVersion", "8"}}}})
                                        .end());
  WatchOptions watch;
  watch.name_space = "default";
  watch.resource_version = "0";
  WatchStream stream = client().watch(kMaps, watch);
  std::vector<std::string> seen;
  while (auto event = stream.next())
    seen.push_back(std::to_string(static_cast<int>(event->type)) + ":" + resource_version_of(event->object));
  EXPECT_THAT(seen, ElementsAre("0:1", "1:2", "2:3", "3:8"));
  auto query = server.requests().at(0).query;
  EXPECT_EQ(query["allowWatchBookmarks"], "true");
  EXPECT_EQ(query["timeoutSeconds"], "290");
  EXPECT_EQ(query["resourceVersion"], "0");
}

TEST_F(ClientTest, AWatchThatBreaksOffIsAnErrorThatMayPass) {
  for (int i = 0; i < 3; ++i) {
    Answer answer = Answer::stream();
    answer.event("ADDED", object("a", "1"));
    if (i == 0) answer.cut();
    if (i == 1) answer.reset();
    if (i == 2) answer.chunk(R"({"type":"MODIF)").end();  // in good order, but inside an event
    server.on("WATCH " + kCollection, answer);
    WatchStream stream = client().watch(kMaps, {{"default", "", ""}, "0"});
    EXPECT_TRUE(stream.next().has_value());
    try {
      stream.next();
      ADD_FAILURE() << i;
    } catch (const os::Error& error) {
      EXPECT_TRUE(error.may_pass()) << i;
    }
  }
}

TEST_F(ClientTest, AWatchThatIsTooOldSaysSoAsAStatusOrAsAnEvent) {
  server.on("WATCH " + kCollection, Answer::failure(410, "Expired"));
  server.on(
      "WATCH " + kCollection,
      Answer::stream().event("ERROR", {{"kind", "Status"}, {"code", 410}, {"reason", "Expired"}}).end());
  EXPECT_TRUE(api_error_of([&] { client().watch(kMaps, {{"default", "", ""}, "1"}); }).is_gone());
  WatchStream stream = client().watch(kMaps, {{"default", "", ""}, "1"});
  EXPECT_TRUE(api_error_of([&] { stream.next(); }).is_gone());
}

TEST_F(ClientTest, ALogIsReadLineByLine) {
  auto gate = std::make_shared<Gate>();
  server.on("GET /api/v1/namespaces/default/pods/p/log",
            Answer::stream("text/plain").chunk("one\ntw").wait_for(gate).chunk("o\nlast").end());
  LogOptions log;
  log.container = "main";
  log.since_time = "2024-05-01T12:00:00Z";
  log.timestamps = true;
  log.tail_lines = 10;
  LogStream stream = client().log({"default", "p"}, log);
  EXPECT_EQ(stream.next()->text, "one");
  gate->open();
  EXPECT_EQ(stream.next()->text, "two");
  EXPECT_EQ(stream.next()->text, "last");
  EXPECT_FALSE(stream.next().has_value());
  EXPECT_FALSE(stream.next().has_value());
  auto query = server.requests().at(0).query;
  EXPECT_EQ(query["container"], "main");
  EXPECT_EQ(query["follow"], "true");
  EXPECT_EQ(query["sinceTime"], "2024-05-01T12:00:00Z");
  EXPECT_EQ(query["timestamps"], "true");
  EXPECT_EQ(query["tailLines"], "10");
}

TEST_F(ClientTest, ALineOfALogThatNeverEndsIsCut) {
  server.on("GET /api/v1/namespaces/default/pods/p/log",
            Answer::stream("text/plain").chunk(std::string(300000, 'x')).chunk("y\nok\n").end());
  LogOptions log;
  log.line_limit = 1000;
  LogStream stream = client().log({"default", "p"}, log);
  auto line = stream.next();
  EXPECT_EQ(line->text, std::string(1000, 'x'));
  EXPECT_TRUE(line->was_cut);
  EXPECT_EQ(stream.next()->text, "ok");
}

TEST_F(ClientTest, TooManyRequestsAreWaitedOutAsTheServerAsks) {
  server.on("GET " + kCollection + "/a", Answer::failure(429, "TooManyRequests").header("Retry-After", "7"));
  server.on("GET " + kCollection + "/a", Answer::failure(429, "TooManyRequests"));
  server.on("GET " + kCollection + "/a",
            Answer::failure(503, "ServiceUnavailable").header("Retry-After", "2"));
  server.on("GET " + kCollection + "/a", Answer::json(200, object("a", "1")));
  EXPECT_EQ(resource_version_of(client().get(kMaps, {"default", "a"})), "1");
  EXPECT_THAT(clock.sleeps(), ElementsAre(seconds(7), seconds(1), seconds(2)));
  EXPECT_THAT(records, ElementsAre("GET 429", "GET 429", "GET 503", "GET 200"));
}

TEST_F(ClientTest, AServerThatAlwaysAsksToWaitIsGivenUp) {
  server.serve("GET " + kCollection + "/a", [](const auto&) {
    return Answer::failure(429, "TooManyRequests").header("Retry-After", "1");
  });
  ApiError error = api_error_of([&] { client().get(kMaps, {"default", "a"}); });
  EXPECT_EQ(error.code(), 429);
  EXPECT_EQ(clock.sleeps().size(), 10u);
}

TEST_F(ClientTest, AWaitThatIsTooLongIsLeftToTheCaller) {
  server.on("GET " + kCollection + "/a",
            Answer::failure(429, "TooManyRequests").header("Retry-After", "3600"));
  ApiError error = api_error_of([&] { client().get(kMaps, {"default", "a"}); });
  EXPECT_EQ(error.status().retry_after, seconds(3600));
  EXPECT_TRUE(clock.sleeps().empty());
}

TEST_F(ClientTest, AnErrorOfTheServerIsNotRetriedHere) {
  server.on("GET " + kCollection + "/a", Answer::failure(500, "InternalError"));
  EXPECT_EQ(api_error_of([&] { client().get(kMaps, {"default", "a"}); }).code(), 500);
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST_F(ClientTest, ATokenThatExpiredIsReadAgainAndTriedOnce) {
  os::TemporaryDirectory directory("client-test");
  auto file = directory.path() / "token";
  os::write_text_atomically(file, "old");
  Config config = server.config();
  config.token_file = file;
  Client client = Client::connect(config, options);
  auto replace = [file](const ReceivedRequest& request) {
    if (request.headers.at("authorization") == "Bearer new") return Answer::json(200, object("a", "1"));
    // The kubelet writes the new token while the old one is being refused: same size, same time.
    auto time = std::filesystem::last_write_time(file);
    std::ofstream(file, std::ios::in | std::ios::out) << "new";
    std::filesystem::last_write_time(file, time);
    return Answer::failure(401, "Unauthorized");
  };
  server.serve("GET " + kCollection + "/a", replace);
  EXPECT_EQ(resource_version_of(client.get(kMaps, {"default", "a"})), "1");
  EXPECT_EQ(server.requests().size(), 2u);
}

TEST_F(ClientTest, ATokenThatStaysRefusedIsAnError) {
  Config config = server.config();
  config.token = "bad";
  server.on("GET " + kCollection + "/a", Answer::failure(401, "Unauthorized"));
  Client client = Client::connect(config, options);
  EXPECT_TRUE(api_error_of([&] { client.get(kMaps, {"default", "a"}); }).is_unauthorized());
}

TEST_F(ClientTest, AnAnswerThatIsNoJsonIsAnErrorThatMayPass) {
  server.on("GET " + kCollection + "/a", Answer::bytes("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"));
  try {
    client().get(kMaps, {"default", "a"});
    FAIL();
  } catch (const os::Error& error) {
    EXPECT_TRUE(error.may_pass());
  }
}

TEST_F(ClientTest, ARequestWithoutAnAnswerIsCountedWithCodeZero) {
  server.on("GET " + kCollection + "/a", Answer::bytes("").cut());
  EXPECT_THROW(client().get(kMaps, {"default", "a"}), os::Error);
  EXPECT_THAT(records, ElementsAre("GET 0"));
}

TEST_F(ClientTest, AClientThatIsCutSendsNothingAnyMore) {
  Client writer = client();
  Client copy = writer.bound_to(std::stop_token());
  Client other = writer.separate(options);
  writer.cut();
  for (const Client& cut : {writer, copy}) {
    try {
      cut.create(kMaps, object("a", ""));
      ADD_FAILURE();
    } catch (const os::Error& error) {
      EXPECT_EQ(error.kind(), os::ErrorKind::kCancelled);
    }
  }
  server.on("GET " + kCollection + "/a", Answer::json(200, object("a", "1")));
  other.get(kMaps, {"default", "a"});
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST_F(ClientTest, CuttingEndsTheRequestThatRuns) {
  auto gate = std::make_shared<Gate>();
  server.on("GET " + kCollection + "/a", Answer::bytes("").wait_for(gate));
  Client waiting = client();
  std::jthread cutter([&] {
    server.wait_for_request("GET " + kCollection + "/a", 1);
    waiting.cut();
  });
  try {
    waiting.get(kMaps, {"default", "a"});
    FAIL();
  } catch (const os::Error& error) {
    EXPECT_EQ(error.kind(), os::ErrorKind::kCancelled);
  }
}

TEST_F(ClientTest, AStreamOutlivesTheHandleItWasOpenedWithAndStillStops) {
  auto gate = std::make_shared<Gate>();
  server.on("WATCH " + kCollection, Answer::stream().event("ADDED", object("a", "1")).wait_for(gate));
  std::stop_source stop;
  WatchStream stream = client().bound_to(stop.get_token()).watch(kMaps, {{"default", "", ""}, "0"});
  EXPECT_TRUE(stream.next().has_value());
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_THROW(stream.next(), os::Error);
}

}  // namespace
}  // namespace hyper2kvm::kube
