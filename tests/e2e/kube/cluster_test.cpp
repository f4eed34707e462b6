// The client runtime against a real API server and etcd: what the fake server of the unit tests claims must
// be so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "operator/kube/event_recorder.h"
#include "operator/kube/informer.h"
#include "tests/e2e/kube/world.h"
#include "tests/unit/kube/api_error_of.h"

namespace hyper2kvm::kube {
namespace {

using std::chrono::seconds;

const ResourceType kMaps = types::kConfigMaps;

class Cluster : public World {
 protected:
  // Of everything that can be listed now.
  std::string current_version() {
    ListOptions options;
    options.name_space = name_space;
    return client.list_page(kMaps, options, [](Json&&) {}).resource_version;
  }
};

TEST_F(Cluster, IsAKubernetes) { EXPECT_EQ(text_at(client.get_path("/version"), {"major"}), "1"); }

TEST_F(Cluster, KnowsWhoATokenBelongsToAndWhatItMayDo) {
  Config limited = config;
  limited.tls.client_certificate_pem = limited.tls.client_key_pem = "";
  limited.token = "e2e-user-token";
  ApiError error = api_error_of([&] { Client::connect(limited, {}).list(kMaps, {{name_space, "", ""}}); });
  EXPECT_TRUE(error.is_forbidden());
  EXPECT_NE(error.sentence().find("e2e-user"), std::string::npos) << error.sentence();
  EXPECT_NE(error.sentence().find("\"list\" on configmaps"), std::string::npos) << error.sentence();
  limited.token = "wrong";
  EXPECT_TRUE(api_error_of([&] {
                Client::connect(limited, {}).list(kMaps, {{name_space, "", ""}});
              }).is_unauthorized());
}

TEST_F(Cluster, CreatesReadsChangesAndDeletes) {
  EXPECT_EQ(client.find(kMaps, key("a")), std::nullopt);
  Json created = client.create(kMaps, config_map("a"));
  EXPECT_NE(uid_of(created), "");
  auto [existing, is_new] = client.create_or_get(kMaps, config_map("a"));
  EXPECT_FALSE(is_new);
  EXPECT_EQ(uid_of(existing), uid_of(created));

  Json changed = client.change(kMaps, key("a"), [](Json& map) {
    map["data"]["b"] = "2";
    return true;
  });
  EXPECT_EQ(changed["data"], Json({{"a", "1"}, {"b", "2"}}));
  EXPECT_TRUE(api_error_of([&] { client.update(kMaps, created); }).is_conflict())
      << "that was the old version";

  EXPECT_EQ(client.patch(kMaps, key("a"), PatchKind::kMerge, {{"data", {{"a", nullptr}}}})["data"],
            Json({{"b", "2"}}));
  Json operations = Json::parse(
      R"([{"op":"test","path":"/data/b","value":"2"},{"op":"add","path":"/data/c","value":"3"}])");
  EXPECT_EQ(client.patch(kMaps, key("a"), PatchKind::kJson, operations)["data"],
            Json({{"b", "2"}, {"c", "3"}}));

  DeleteOptions another;
  another.uid = "00000000-0000-0000-0000-000000000000";
  EXPECT_FALSE(client.remove(kMaps, key("a"), another)) << "it is not the one that was meant";
  EXPECT_TRUE(client.remove(kMaps, key("a")));
  EXPECT_FALSE(client.remove(kMaps, key("a")));
}

TEST_F(Cluster, RefusesWhatIsInvalidWithASentence) {
  ApiError error = api_error_of([&] { client.create(kMaps, config_map("Not_A_Name")); });
  EXPECT_EQ(error.code(), 422);
  EXPECT_FALSE(error.may_pass());
  EXPECT_NE(error.sentence().find("Not_A_Name"), std::string::npos);
}

TEST_F(Cluster, AFinalizerHoldsAnObjectUntilItIsRemoved) {
  Json map = config_map("held");
  add_finalizer(map, "example.test/clean-up");
  client.create(kMaps, map);
  EXPECT_TRUE(client.remove(kMaps, key("held")));
  EXPECT_TRUE(is_being_deleted(client.get(kMaps, key("held"))));
  client.change(kMaps, key("held"),
                [](Json& held) { return remove_finalizer(held, "example.test/clean-up"); });
  EXPECT_EQ(client.find(kMaps, key("held")), std::nullopt);
}

TEST_F(Cluster, ServerSideApplyKeepsEachManagersFields) {
  client.apply(kMaps, config_map("applied", {{"mine", "1"}, {"also", "1"}}), "me");
  client.apply(kMaps, config_map("applied", {{"theirs", "2"}}), "them");
  EXPECT_EQ(client.get(kMaps, key("applied"))["data"], Json({{"also", "1"}, {"mine", "1"}, {"theirs", "2"}}));
  // What is not there any more goes away; what others have stays.
  client.apply(kMaps, config_map("applied", {{"mine", "3"}}), "me");
  EXPECT_EQ(client.get(kMaps, key("applied"))["data"], Json({{"mine", "3"}, {"theirs", "2"}}));
  // Two who want the same field: a conflict, unless it is taken over.
  EXPECT_TRUE(api_error_of([&] {
                client.apply(kMaps, config_map("applied", {{"mine", "4"}}), "them", false);
              }).is_conflict());
  client.apply(kMaps, config_map("applied", {{"mine", "4"}}), "them", true);
  EXPECT_EQ(client.get(kMaps, key("applied"))["data"], Json({{"mine", "4"}}));
  // The same again changes nothing, not even the version.
  std::string version = resource_version_of(client.get(kMaps, key("applied")));
  client.apply(kMaps, config_map("applied", {{"mine", "4"}}), "them", true);
  EXPECT_EQ(resource_version_of(client.get(kMaps, key("applied"))), version);
}

TEST_F(Cluster, ListsPageByPageWithSelectors) {
  for (int i = 0; i < 25; ++i) {
    Json map = config_map("map-" + std::to_string(i));
    map["metadata"]["labels"]["even"] = i % 2 == 0 ? "yes" : "no";
    client.create(kMaps, map);
  }
  ListOptions options;
  options.name_space = name_space;
  options.limit = 4;
  options.label_selector = "even in (yes)";
  std::set<std::string> names;
  for (const Json& map : client.list(kMaps, options)) {
    EXPECT_EQ(map["kind"], "ConfigMap");
    names.insert(key_of(map).name);
  }
  EXPECT_EQ(names.size(), 13u);
}

TEST_F(Cluster, APageIsGoneAfterACompactionAndTheListStartsAgain) {
  for (int i = 0; i < 6; ++i) client.create(kMaps, config_map("map-" + std::to_string(i)));
  ListOptions options;
  options.name_space = name_space;
  options.limit = 2;
  ListPage page = client.list_page(kMaps, options, [](Json&&) {});
  ASSERT_NE(page.continue_token, "");
  Json last;
  for (int i = 0; i < 3; ++i) last = client.create(kMaps, config_map("more-" + std::to_string(i)));
  os::run_program(
      {.arguments = {"etcdctl", "--endpoints=http://127.0.0.1:2379", "compact", resource_version_of(last)},
       .environment = {{"ETCDCTL_API", "3"}}});
  ListOptions rest = options;
  rest.continue_token = page.continue_token;
  EXPECT_TRUE(api_error_of([&] { client.list_page(kMaps, rest, [](Json&&) {}); }).is_gone());
  EXPECT_EQ(client.list(kMaps, options).size(), 9u);
}

TEST_F(Cluster, AWatchBringsEventsAndABookmarkAndEndsInGoodOrder) {
  std::vector<WatchEventType> seen;
  // A watch that ended before the changes were made, because the machine is slow, is tried again with more
  // time.
  for (int time : {6, 60, 240}) {
    WatchOptions options;
    options.name_space = name_space;
    options.resource_version = current_version();
    options.time = seconds(time);
    WatchStream watch = client.watch(kMaps, options);
    client.create(kMaps, config_map("a"));
    client.patch(kMaps, key("a"), PatchKind::kMerge, {{"data", {{"a", "2"}}}});
    client.remove(kMaps, key("a"));
    seen.clear();
    while (auto event = watch.next()) seen.push_back(event->type);
    if (seen.size() >= 4) break;
  }
  ASSERT_GE(seen.size(), 4u);
  EXPECT_EQ(seen[0], WatchEventType::kAdded);
  EXPECT_EQ(seen[1], WatchEventType::kModified);
  EXPECT_EQ(seen[2], WatchEventType::kDeleted);
  EXPECT_EQ(seen.back(), WatchEventType::kBookmark);
}

TEST_F(Cluster, AWatchFromAVersionOfBeforeTheServersStartIsGone) {
  std::string old = current_version();
  client.create(kMaps, config_map("a"));
  client.patch(kMaps, key("a"), PatchKind::kMerge, {{"data", {{"a", "2"}}}});
  component("restart", "apiserver");
  wait_for_server(client);
  ApiError error = api_error_of([&] {
    WatchStream watch = client.watch(kMaps, {{name_space, "", ""}, old});
    while (watch.next()) {
    }
  });
  EXPECT_TRUE(error.is_gone()) << error.sentence();
}

TEST_F(Cluster, AnInformerFollowsThroughTheDeathsOfServerAndStore) {
  InformerOptions options;
  options.namespaces = {name_space};
  Informer<Json> informer(kMaps, options, keep_all_but_managed_fields);
  std::atomic<int> changes = 0;
  informer.cache().on_change([&](const ObjectKey&, const auto&, const auto&) { ++changes; });
  // What the cache must become: the server's own list.
  auto is_the_same = [&] {
    std::vector<Json> listed = client.list(kMaps, {{name_space, "", ""}});
    if (listed.size() != informer.cache().size()) return false;
    return std::all_of(listed.begin(), listed.end(), [&](const Json& map) {
      auto cached = informer.cache().get(key_of(map));
      return cached && resource_version_of(*cached) == resource_version_of(map);
    });
  };
  client.create(kMaps, config_map("first"));
  informer.start(client, Logger());
  ASSERT_TRUE(eventually([&] { return informer.is_synced(); }));
  EXPECT_TRUE(is_the_same());
  int round = 0;
  for (const char* victim : {"apiserver", "etcd"}) {
    SCOPED_TRACE(victim);
    component("kill", victim);
    component("start", victim);
    wait_for_server(client);
    ++round;
    ASSERT_TRUE(eventually([&] {
      try {
        client.create_or_get(kMaps, config_map("new-" + std::to_string(round)));
        return true;
      } catch (const os::Error&) {
        return false;  // the store is still coming up
      }
    }));
    client.patch(kMaps, key("first"), PatchKind::kMerge, {{"data", {{"round", std::to_string(round)}}}});
    EXPECT_TRUE(eventually(is_the_same)) << informer.problem();
  }
  client.remove(kMaps, key("first"));
  EXPECT_TRUE(eventually(is_the_same));
  EXPECT_GE(changes, 6);
  informer.stop();
}

TEST_F(Cluster, EventsAreCounted) {
  Json map = client.create(kMaps, config_map("a"));
  {
    EventRecorder recorder(client, "e2e", "here", Logger());
    for (int i = 0; i < 3; ++i) recorder.record({reference_to(kMaps, map), true, "Tested", "three times"});
    EXPECT_TRUE(recorder.flush(kPatience));
  }
  auto events = client.list(types::kEvents, {{name_space, "", "involvedObject.name=a"}});
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0]["count"], 3);
  EXPECT_EQ(events[0]["type"], "Warning");
  EXPECT_EQ(events[0]["involvedObject"]["uid"], uid_of(map));
}

}  // namespace
}  // namespace hyper2kvm::kube
