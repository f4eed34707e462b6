// The daemon as hyperexport meets it: plain slow writes under one base name, polling for results; and killed
// at any moment.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>
#include <random>
#include <thread>

#include "runner/daemon/control_client.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/os/process.h"
#include "tests/integration/program.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using nlohmann::json;

class DaemonTest : public ::testing::Test {
 protected:
  DaemonTest() {
    for (const char* name : {"queue", "output", "etc", "run", "temp"}) fs::create_directory(path(name));
    make_disk(path("disk.raw"), 2);
    watch_ = os::UniqueFd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    ::inotify_add_watch(watch_.get(), path("output").c_str(), IN_MOVED_TO | IN_CREATE);
    configure("");
  }
  ~DaemonTest() override {
    if (daemon_) daemon_->kill();
  }
  fs::path path(const std::string& name) const { return directory_.path() / name; }
  void configure(const std::string& more) {
    os::write_text_atomically(path("etc") / "hyper2kvm.conf", "WATCH_DIR=" + path("queue").string() +
                                                                  "\nOUTPUT_DIR=" + path("output").string() +
                                                                  "\nTEMP_DIR=" + path("temp").string() +
                                                                  "\nPOLL_INTERVAL=1\n" + more);
  }
  void start() {
    daemon_.emplace(os::Process::start(
        {.arguments = {program_path().string(), "daemon", "--config-dir=" + path("etc").string(),
                       "--runtime-dir=" + path("run").string()}}));
  }
  json ask(const json& request) { return daemon::ask_daemon(path("run") / "control.sock", request); }

  // A daemon that was killed leaves its socket behind, so the file alone does not tell.
  bool answers() {
    try {
      ask({{"command", "status"}});
      return true;
    } catch (const os::Error&) {
      return false;
    }
  }

  json manifest(const std::string& vm_name) const {
    json document = manifest_for(path("disk.raw"));
    document["source"]["vm_name"] = vm_name;
    document["output"] = {{"format", "qcow2"}};
    return document;
  }
  // As hyperexport does: in place, every machine under the same name, a few bytes at a time.
  void submit(const json& document, bool slowly = false) {
    std::ofstream file(path("queue") / "artifact-manifest.json", std::ios::trunc);
    std::string text = document.dump(1);
    if (!slowly) {
      file << text;
      return;
    }
    for (std::size_t i = 0; i < text.size(); i += text.size() / 7) {
      file << text.substr(i, text.size() / 7) << std::flush;
      std::this_thread::sleep_for(50ms);
    }
  }
  bool is_taken() const { return !fs::exists(path("queue") / "artifact-manifest.json"); }
  template <class Condition>
  static bool eventually(const Condition& condition, std::chrono::seconds limit = 120s) {
    auto deadline = std::chrono::steady_clock::now() + limit;
    while (std::chrono::steady_clock::now() < deadline) {
      if (condition()) return true;
      std::this_thread::sleep_for(20ms);
    }
    return condition();
  }
  bool succeeded(const std::string& name) const { return fs::exists(path("output") / (name + ".qcow2")); }
  bool failed(const std::string& name) const { return fs::exists(path("output") / (name + ".error")); }

  // How often each name has appeared in the output directory.
  std::map<std::string, unsigned> appeared() {
    alignas(inotify_event) std::array<char, 65536> buffer;
    ssize_t got;
    while ((got = ::read(watch_.get(), buffer.data(), buffer.size())) > 0) {
      for (char* at = buffer.data(); at < buffer.data() + got;) {
        const auto* event = reinterpret_cast<const inotify_event*>(at);
        at += sizeof(inotify_event) + event->len;
        if (event->len > 0) ++appeared_[event->name];
      }
    }
    return appeared_;
  }

  os::TemporaryDirectory directory_{"daemon-test"};
  os::UniqueFd watch_;
  std::optional<os::Process> daemon_;
  std::map<std::string, unsigned> appeared_;
};

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
  EXPECT_EQ(ask({{"command", "stats"}})["stats"]["done"], 20);
}

TEST_F(DaemonTest, AStopPutsRunningJobsBackAndAStartFinishesThem) {
  configure("MAX_CONCURRENT=1\n");
  start();
  for (int i = 0; i < 4; ++i) {
    submit(manifest("vm" + std::to_string(i)));
    ASSERT_TRUE(eventually([&] { return is_taken(); }));
  }
  daemon_->signal(SIGTERM);
  auto status = daemon_->wait_for(30s);
  ASSERT_TRUE(status);
  EXPECT_TRUE(status->success()) << status->description();
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
