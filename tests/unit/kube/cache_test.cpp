#include "operator/kube/cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/kube/informer.h"
#include "runner/os/error.h"
#include "tests/unit/kube/fake_api_server.h"
#include "tests/unit/kube/log_lines.h"

namespace hyper2kvm::kube {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

// What a controller keeps of an object.
struct Small {
  std::string name;
  std::string owner;
};
Small decode(Json&& json) {
  if (json.contains("broken")) throw os::Error(os::ErrorKind::kInvalid, "object", "is broken");
  return {key_of(json).name, label_of(json, "owner")};
}
Json owned(const std::string& name, const std::string& version, const std::string& owner,
           const std::string& name_space = "default") {
  Json made = object(name, version, name_space);
  made["metadata"]["labels"]["owner"] = owner;
  return made;
}

class CacheTest : public testing::Test {
 protected:
  CacheTest() {
    cache.add_index("owner", [](const Small& small) { return std::vector<std::string>{small.owner}; });
    cache.on_change([this](const ObjectKey& key, const auto& before, const auto& after) {
      changes.push_back((before ? (after ? "changed " : "removed ") : "added ") + key.to_string());
    });
  }
  void list(Cache<Small>::Part& to, std::vector<Json> objects) {
    to.discard_staged();
    for (Json& one : objects) to.stage(std::move(one));
    to.commit_staged();
  }
  std::vector<std::string> names(const std::vector<Cache<Small>::Value>& values) {
    std::vector<std::string> found;
    for (const auto& value : values) found.push_back(value->name);
    return found;
  }
  std::vector<std::string> take_changes() { return std::exchange(changes, {}); }

  std::shared_ptr<LogLines> log = std::make_shared<LogLines>();
  Cache<Small> cache{decode, Logger(log, LogLevel::kDebug)};
  Cache<Small>::Part part{cache, ""};
  std::vector<std::string> changes;
};

TEST_F(CacheTest, HoldsWhatWasListed) {
  list(part, {owned("b", "2", "x"), owned("a", "1", "y")});
  EXPECT_THAT(names(cache.list()), ElementsAre("a", "b"));
  EXPECT_EQ(cache.get({"default", "b"})->owner, "x");
  EXPECT_EQ(cache.get({"default", "none"}), nullptr);
  EXPECT_EQ(cache.size(), 2u);
  EXPECT_THAT(cache.keys(), ElementsAre(ObjectKey{"default", "a"}, ObjectKey{"default", "b"}));
  EXPECT_THAT(take_changes(), ElementsAre("added default/a", "added default/b"));
}

TEST_F(CacheTest, NothingOfAListIsSeenBeforeItIsComplete) {
  part.stage(owned("a", "1", "x"));
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_TRUE(changes.empty());
  part.commit_staged();
  EXPECT_EQ(cache.size(), 1u);
}

TEST_F(CacheTest, ANewListTellsOnlyOfWhatIsDifferent) {
  list(part, {owned("a", "1", "x"), owned("b", "2", "x"), owned("c", "3", "x")});
  auto kept = cache.get({"default", "a"});
  take_changes();
  list(part, {owned("a", "1", "x"), owned("b", "9", "x"), owned("d", "4", "x")});
  EXPECT_THAT(take_changes(),
              UnorderedElementsAre("changed default/b", "removed default/c", "added default/d"));
  EXPECT_EQ(cache.get({"default", "a"}), kept);
}

TEST_F(CacheTest, PagesThatAreDiscardedLeaveNothingBehind) {
  part.stage(owned("ghost", "1", "x"));
  list(part, {owned("a", "1", "x")});
  EXPECT_THAT(names(cache.list()), ElementsAre("a"));
}

TEST_F(CacheTest, EventsChangeIt) {
  part.apply(WatchEventType::kAdded, owned("a", "1", "x"));
  part.apply(WatchEventType::kModified, owned("a", "2", "y"));
  part.apply(WatchEventType::kDeleted, owned("a", "3", "y"));
  part.apply(WatchEventType::kDeleted, owned("a", "3", "y"));
  EXPECT_THAT(changes, ElementsAre("added default/a", "changed default/a", "removed default/a"));
  EXPECT_EQ(cache.size(), 0u);
}

TEST_F(CacheTest, AnIndexFollowsTheObjects) {
  list(part, {owned("a", "1", "x"), owned("b", "2", "x"), owned("c", "3", "y")});
  EXPECT_THAT(names(cache.by_index("owner", "x")), ElementsAre("a", "b"));
  part.apply(WatchEventType::kModified, owned("a", "4", "y"));
  part.apply(WatchEventType::kDeleted, owned("c", "5", "y"));
  EXPECT_THAT(names(cache.by_index("owner", "x")), ElementsAre("b"));
  EXPECT_THAT(names(cache.by_index("owner", "y")), ElementsAre("a"));
  list(part, {});
  EXPECT_TRUE(cache.by_index("owner", "x").empty());
}

TEST_F(CacheTest, AValueThatIsHeldDoesNotChange) {
  part.apply(WatchEventType::kAdded, owned("a", "1", "x"));
  auto held = cache.get({"default", "a"});
  part.apply(WatchEventType::kModified, owned("a", "2", "y"));
  EXPECT_EQ(held->owner, "x");
}

TEST_F(CacheTest, AnObjectThatCannotBeReadKeepsItsLastValueAndIsLogged) {
  list(part, {owned("a", "1", "x")});
  Json broken = owned("a", "2", "y");
  broken["broken"] = true;
  part.apply(WatchEventType::kModified, Json(broken));
  EXPECT_EQ(cache.get({"default", "a"})->owner, "x");
  list(part, {broken});
  EXPECT_EQ(cache.get({"default", "a"})->owner, "x");
  EXPECT_EQ(log->with_message("an object cannot be read").size(), 2u);
  part.apply(WatchEventType::kModified, owned("a", "3", "z"));
  EXPECT_EQ(cache.get({"default", "a"})->owner, "z");
}

TEST_F(CacheTest, AnObjectWithoutANameIsLeftOut) {
  part.apply(WatchEventType::kAdded, Json::object());
  list(part, {Json::object(), owned("a", "1", "x")});
  EXPECT_EQ(cache.size(), 1u);
}

TEST_F(CacheTest, PartsOfDifferentNamespacesLeaveEachOtherAlone) {
  Cache<Small>::Part red(cache, "red"), reddish(cache, "reddish");
  list(red, {owned("a", "1", "x", "red")});
  list(reddish, {owned("b", "1", "x", "reddish")});
  list(red, {owned("c", "1", "x", "red")});
  EXPECT_THAT(names(cache.list()), ElementsAre("c", "b"));
  EXPECT_THAT(names(cache.list("red")), ElementsAre("c"));
  EXPECT_THAT(names(cache.list("reddish")), ElementsAre("b"));
  EXPECT_TRUE(cache.list("re").empty());
}

TEST(Informer, OfSeveralNamespacesIsSyncedWhenAllAre) {
  FakeApiServer server;
  auto gate = std::make_shared<Gate>(), late = std::make_shared<Gate>();
  for (const char* name : {"one", "two"})
    server.on(std::string("WATCH /api/v1/namespaces/") + name + "/configmaps",
              Answer::stream().wait_for(gate));
  server.on("GET /api/v1/namespaces/one/configmaps",
            Answer::json(200, list_of({object("a", "1", "one")}, "5")));
  server.on("GET /api/v1/namespaces/two/configmaps",
            Answer::stream().wait_for(late).chunk(list_of({object("b", "1", "two")}, "6").dump()).end());
  InformerOptions options;
  options.namespaces = {"one", "two"};
  Informer<Json> informer(types::kConfigMaps, options, keep_all_but_managed_fields);
  EXPECT_FALSE(informer.is_synced());
  informer.start(server.client(), Logger());
  server.wait_for_request("WATCH /api/v1/namespaces/one/configmaps", 1);
  EXPECT_FALSE(informer.is_synced());
  late->open();
  server.wait_for_request("WATCH /api/v1/namespaces/two/configmaps", 1);
  EXPECT_TRUE(informer.is_synced());
  EXPECT_EQ(informer.cache().size(), 2u);
  EXPECT_EQ(informer.name(), "configmaps");
  informer.stop();
  EXPECT_THAT(server.unexpected(), ElementsAre());
}

TEST(Informer, SaysWhyItIsNotSynced) {
  FakeApiServer server;
  server.serve("GET /api/v1/configmaps", [](const auto&) { return Answer::failure(403, "Forbidden", "no"); });
  Informer<Json> informer(types::kConfigMaps, {}, keep_all_but_managed_fields);
  informer.start(server.client(), Logger());
  for (int i = 0; i < 1000 && informer.problem().empty(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_NE(informer.problem().find("Forbidden"), std::string::npos);
  informer.stop();
}

}  // namespace
}  // namespace hyper2kvm::kube
