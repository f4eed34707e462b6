// The daemon as hyperexport meets it: plain slow writes under one base name, polling for results; and killed
// at any moment.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <random>

#include "tests/integration/daemon_host.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using nlohmann::json;

class DaemonTest : public DaemonHost {};

TEST_F(DaemonTest, ASlowlyWrittenManifestBecomesAnImage) {
  start();
  submit(manifest("web 01"), true);
  ASSERT_TRUE(eventually([&] { return succeeded("web 01") || failed("web 01"); }));
  ASSERT_TRUE(succeeded("web 01"));
  must_run({"qemu-img", "compare", (path("output") / "web 01.qcow2").string(), path("disk.raw").string()});
}

TEST_F(DaemonTest, AFailureIsAMessageAndTheDaemonGoesOn) {
  start();
  json bad = manifest("broken");
  bad["disks"][0]["bytes"] = 1;
  submit(bad);
  ASSERT_TRUE(eventually([&] { return failed("broken"); }));
  EXPECT_THAT(os::read_text(path("output") / "broken.error", 4096),
              ::testing::HasSubstr("the manifest says 1"));
  EXPECT_FALSE(succeeded("broken"));
  std::ofstream(path("queue") / "test.json") << "{\"test\": true}\n";
  submit(manifest("good"));
  EXPECT_TRUE(eventually([&] { return succeeded("good"); }));
  EXPECT_FALSE(fs::exists(path("queue") / "test.json"));
  EXPECT_EQ(names_in(path("queue") / ".hyper2kvm" / "refused").size(), 2u);
}

TEST_F(DaemonTest, TwentyManifestsOfOneNameAreTwentyJobs) {
  configure("MAX_CONCURRENT=3\n");
  start();
  for (int i = 0; i < 20; ++i) {
    submit(manifest("vm" + std::to_string(i)));
    ASSERT_TRUE(eventually([&] { return is_taken(); }));
  }
  for (int i = 0; i < 20; ++i)
    EXPECT_TRUE(eventually([&] { return succeeded("vm" + std::to_string(i)); })) << i;
  EXPECT_EQ(ask("stats")["stats"]["done"], 20);
  // They survive a restart.
  ASSERT_EQ(stop(), 0);
  start_and_wait();
  EXPECT_EQ(ask("stats")["stats"]["done"], 20);
  EXPECT_GT(ask("stats")["stats"]["source_bytes"], 20 * 1000000);
}

TEST_F(DaemonTest, AStopPutsRunningJobsBackAndAStartFinishesThem) {
  configure("MAX_CONCURRENT=1\n");
  start();
  for (int i = 0; i < 4; ++i) {
    submit(manifest("vm" + std::to_string(i)));
    ASSERT_TRUE(eventually([&] { return is_taken(); }));
  }
  EXPECT_EQ(stop(), 0);
  start();
  for (int i = 0; i < 4; ++i)
    EXPECT_TRUE(eventually([&] { return succeeded("vm" + std::to_string(i)); })) << i;
}

TEST_F(DaemonTest, APausedQueueStartsNothingUntilItGoesOn) {
  start();
  ASSERT_TRUE(eventually([&] { return answers(); }));
  ask({{"command", "pause"}});
  submit(manifest("web"));
  ASSERT_TRUE(eventually([&] { return ask({{"command", "status"}})["queued"] == 1; }));
  EXPECT_EQ(ask({{"command", "status"}})["running"], 0);
  ask({{"command", "resume"}});
  EXPECT_TRUE(eventually([&] { return succeeded("web"); }));
}

// A file system of its own for the results, that can be filled.
class DaemonSpace : public DaemonHost {
 protected:
  void SetUp() override {
    if (::getuid() != 0) GTEST_SKIP() << "only root can mount a small file system";
    fs::create_directory(path("small"));
    if (::mount("results", path("small").c_str(), "tmpfs", 0, "size=160m") != 0)
      GTEST_SKIP() << "tmpfs cannot be mounted here";
    mounted_ = true;
    configure("OUTPUT_DIR=" + path("small").string() + "\n");
  }
  void TearDown() override {
    if (daemon_) daemon_->kill();
    daemon_.reset();
    if (mounted_) ::umount2(path("small").c_str(), MNT_DETACH);
  }

 private:
  bool mounted_ = false;
};

TEST_F(DaemonSpace, AJobWaitsUntilThereIsSpaceForItsResult) {
  std::ofstream(path("small") / "filler") << std::string(120u << 20, 'x');
  start_and_wait();
  submit_and_wait(slow_manifest("web"));
  ASSERT_TRUE(eventually([&] { return ask("list")["jobs"][0].value("waits_for", "") == "space"; })) << log();
  ASSERT_TRUE(eventually([&] { return log().find("waits until") != std::string::npos; })) << log();
  EXPECT_THAT(log(), ::testing::HasSubstr(path("small").string() + " has "));
  EXPECT_EQ(ask("list")["jobs"][0]["attempts"], 0);
  fs::remove(path("small") / "filler");
  ASSERT_TRUE(eventually([&] { return fs::exists(path("small") / "web.qcow2"); })) << log();
  EXPECT_FALSE(fs::exists(path("small") / "web.error"));
  must_run({"qemu-img", "compare", (path("small") / "web.qcow2").string(), path("large.raw").string()});
}

TEST_F(DaemonSpace, AJobThatCouldNeverFitFailsAtOnceAndHoldsUpNoOther) {
  fs::resize_file(path("disk.raw"), 512u << 20);
  json large = manifest("large");
  fs::copy_file(path("disk.raw"), path("other.raw"));
  fs::resize_file(path("disk.raw"), 2u << 20);
  large["disks"][0]["local_path"] = path("other.raw").string();
  large["disks"][0]["bytes"] = 512u << 20;
  start_and_wait();
  submit_and_wait(large);
  ASSERT_TRUE(eventually([&] { return fs::exists(path("small") / "large.error"); })) << log();
  EXPECT_THAT(os::read_text(path("small") / "large.error", 4096),
              ::testing::HasSubstr("Set OUTPUT_DIR to a larger one."));
  EXPECT_EQ(ask("list")["jobs"][0]["attempts"], 0);
  submit_and_wait(manifest("web"));
  EXPECT_TRUE(eventually([&] { return fs::exists(path("small") / "web.qcow2"); })) << log();
}

// HYPER2KVM_DAEMON_KILLS: how often; a campaign sets 500.
TEST_F(DaemonTest, KilledAtAnyMomentItLosesNoJobAndPublishesNoneTwice) {
  const char* given = std::getenv("HYPER2KVM_DAEMON_KILLS");
  int kills = given != nullptr ? std::atoi(given) : 25;
  configure("MAX_CONCURRENT=4\nRETRY_LIMIT=1\n");
  std::mt19937 random(1);
  int submitted = 0;
  for (int round = 0; round < kills; ++round) {
    start();
    auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(random() % 900 + 20);
    while (std::chrono::steady_clock::now() < end) {
      if (is_taken() && submitted < kills) submit(manifest("vm" + std::to_string(submitted++)));
      std::this_thread::sleep_for(std::chrono::milliseconds(random() % 60));
    }
    daemon_->kill();
    daemon_.reset();
    appeared();
  }
  start();
  ASSERT_TRUE(eventually([&] { return answers(); }));
  for (int i = 0; i < submitted; ++i)
    ASSERT_TRUE(eventually([&] { return succeeded("vm" + std::to_string(i)); }))
        << i << " of " << submitted << " was lost";
  auto count = appeared();
  for (int i = 0; i < submitted; ++i) EXPECT_EQ(count["vm" + std::to_string(i) + ".qcow2"], 1u) << i;
  EXPECT_TRUE(eventually([&] { return ask({{"command", "stats"}})["stats"]["done"] == submitted; }));
  EXPECT_EQ(ask({{"command", "stats"}})["stats"]["failed"], 0);
  for (int i = 0; i < submitted; ++i)
    must_run({"qemu-img", "check", "-q", (path("output") / ("vm" + std::to_string(i) + ".qcow2")).string()});
}

}  // namespace
}  // namespace hyper2kvm::integration
