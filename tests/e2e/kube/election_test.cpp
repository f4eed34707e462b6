// Two replicas of a small operator, as processes of their own: which of them works, and what they leave
// behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <thread>

#include "runner/os/error.h"
#include "tests/e2e/kube/world.h"

namespace hyper2kvm::kube {
namespace {

using std::chrono::seconds;

const ResourceType kMaps = types::kConfigMaps;

class Replicas : public World {
 protected:
  os::Process start(const std::string& identity, int lease_seconds = 15) {
    os::ProcessOptions options;
    options.arguments = {small_operator(), identity, name_space, std::to_string(lease_seconds),
                         "127.0.0.1:" + std::to_string(identity == "one" ? 18081 : 18082)};
    return os::Process::start(options);
  }
  std::string leader() {
    auto lease = client.find(types::kLeases, key("small-operator"));
    return lease ? text_at(*lease, {"spec", "holderIdentity"}) : "";
  }
  // Who wrote the beat last, and how often so far.
  std::string beat() {
    auto map = client.find(kMaps, key("beat"));
    return map ? text_at(*map, {"data", "writer"}) + " " + text_at(*map, {"data", "count"}) : "";
  }
  bool beats(const std::string& identity) {
    std::string before = beat();
    return eventually([&] {
      std::string now = beat();
      return now != before && now.rfind(identity + " ", 0) == 0;
    });
  }
  void add_work(const std::string& name) {
    Json map = config_map(name);
    map["metadata"]["labels"]["app"] = "work";
    client.create(kMaps, map);
  }
  std::string done_by(const std::string& name) {
    return annotation_of(client.get(kMaps, key(name)), "done-by");
  }
  // The writers of the beat, in order, each once for as long as it went on.
  class History {
   public:
    History(const Client& client, const std::string& name_space)
        : thread_([this, client, name_space](const std::stop_token& stop) {
            WatchOptions options;
            options.name_space = name_space;
            options.field_selector = "metadata.name=beat";
            try {
              WatchStream watch = client.bound_to(stop).watch(kMaps, options);
              while (auto event = watch.next()) {
                std::string writer = text_at(event->object, {"data", "writer"});
                if (!writer.empty() && (writers_.empty() || writers_.back() != writer))
                  writers_.push_back(writer);
              }
            } catch (const os::Error& error) {
              if (error.kind() != os::ErrorKind::kCancelled) writers_.push_back(error.sentence());
            }
          }) {}
    std::vector<std::string> finish() {
      thread_.request_stop();
      thread_.join();
      return writers_;
    }

   private:
    std::vector<std::string> writers_;
    std::jthread thread_;
  };
};

TEST_F(Replicas, TheSecondTakesOverWhenTheFirstIsKilled) {
  History history(client, name_space);
  os::Process one = start("one");
  ASSERT_TRUE(beats("one")) << one.stderr_tail();
  os::Process two = start("two");
  add_work("before");
  EXPECT_TRUE(eventually([&] { return done_by("before") == "one"; }));
  one.kill();
  EXPECT_TRUE(beats("two")) << two.stderr_tail();
  EXPECT_EQ(leader(), "two");
  add_work("after");
  EXPECT_TRUE(eventually([&] { return done_by("after") == "two"; }));
  EXPECT_EQ(done_by("before"), "one") << "what was done is not done again";
  two.signal(SIGTERM);
  ASSERT_TRUE(two.wait_for(kPatience));
  EXPECT_THAT(history.finish(), testing::ElementsAre("one", "two"));
}

TEST_F(Replicas, AFirstThatIsToldToStopLeavesAtOnceAndInGoodOrder) {
  // So long a lease that nobody waits for its end here.
  os::Process one = start("one", 600);
  ASSERT_TRUE(beats("one")) << one.stderr_tail();
  os::Process two = start("two", 600);
  one.signal(SIGTERM);
  auto status = one.wait_for(kPatience);
  ASSERT_TRUE(status);
  EXPECT_TRUE(status->success()) << status->description() << one.stderr_tail();
  EXPECT_TRUE(beats("two")) << two.stderr_tail();
  two.signal(SIGTERM);
  ASSERT_TRUE(two.wait_for(kPatience));
  EXPECT_EQ(leader(), "");
}

TEST_F(Replicas, AFirstThatWasFrozenDoesNotWriteAgainstTheSecond) {
  History history(client, name_space);
  os::Process one = start("one");
  ASSERT_TRUE(beats("one")) << one.stderr_tail();
  os::Process two = start("two");
  one.signal(SIGSTOP);
  ASSERT_TRUE(beats("two")) << two.stderr_tail();
  one.signal(SIGCONT);
  auto status = one.wait_for(kPatience);
  ASSERT_TRUE(status) << "it should end, as it has lost its lease";
  EXPECT_FALSE(status->success());
  EXPECT_NE(one.stderr_tail().find("was lost"), std::string::npos) << one.stderr_tail();
  EXPECT_TRUE(beats("two"));
  two.signal(SIGTERM);
  ASSERT_TRUE(two.wait_for(kPatience));
  std::vector<std::string> writers = history.finish();
  // A write that was already on its way when it froze may still arrive, as with any lease; it ends before the
  // other begins, or is the one write that was in flight.
  EXPECT_EQ(writers.front(), "one");
  EXPECT_EQ(writers.back(), "two");
  EXPECT_LE(writers.size(), 4u);
}

TEST_F(Replicas, SurviveTheDeathOfTheServer) {
  os::Process one = start("one", 30);
  ASSERT_TRUE(beats("one")) << one.stderr_tail();
  component("kill", "apiserver");
  component("start", "apiserver");
  wait_for_server(client);
  add_work("after");
  EXPECT_TRUE(eventually([&] { return done_by("after") == "one"; })) << one.stderr_tail();
  EXPECT_TRUE(beats("one")) << one.stderr_tail();
  one.signal(SIGTERM);
  ASSERT_TRUE(one.wait_for(kPatience));
}

}  // namespace
}  // namespace hyper2kvm::kube
