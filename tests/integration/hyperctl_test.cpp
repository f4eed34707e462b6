// hyperctl against a daemon that runs: what it tells, and what it has done.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>

#include "tests/integration/daemon_host.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using nlohmann::json;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

class Hyperctl : public DaemonHost {
 protected:
  std::vector<std::string> command(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), (program_path().parent_path() / "hyperctl").string());
    for (const std::string& more : {std::string("-socket"), (path("run") / "control.sock").string(),
                                    std::string("-config"), path("etc").string()})
      arguments.push_back(more);
    return arguments;
  }
  std::string run(const std::vector<std::string>& arguments) const { return must_run(command(arguments)); }
  json run_json(std::vector<std::string> arguments) const {
    arguments.push_back("-json");
    return json::parse(run(arguments));
  }
  // Starts a conversion and holds it where it has told how far it is.
  void hold(const std::string& name) {
    submit_and_wait(slow_manifest(name));
    ASSERT_TRUE(eventually([&] {
      json status = ask("status");
      for (const json& job : status["jobs"])
        if (job.contains("progress") && job["progress"]["total_bytes"] > 0) return true;
      return false;
    })) << log();
    for (pid_t child : conversions()) ::kill(child, SIGSTOP);
    ASSERT_THAT(conversions(), SizeIs(1));
  }
};

TEST_F(Hyperctl, TellsTheStateOfAnInstanceWithTheKeysThatOtherToolsRead) {
  configure("MAX_CONCURRENT=1\n");
  start_and_wait();
  hold("slow");
  submit_and_wait(manifest("next"));
  json answer = run_json({"daemon", "-op", "status"});
  EXPECT_EQ(answer["total"], 1);
  json one = answer["instances"][0];
  EXPECT_EQ(one["name"], "default");
  EXPECT_EQ(one["service"], "hyper2kvm.service");
  for (const char* key : {"active", "status", "main_pid", "uptime"}) EXPECT_TRUE(one.contains(key)) << key;
  EXPECT_EQ(one["watch_dir"], path("queue").string());
  EXPECT_EQ(one["output_dir"], path("output").string());
  EXPECT_EQ(one["running"], 1);
  EXPECT_EQ(one["queued"], 1);
  EXPECT_EQ(one["jobs"][0]["vm_name"], "slow");
  EXPECT_GT(one["jobs"][0]["progress"]["total_bytes"], 0);
  std::string text = run({"daemon", "-op", "status"});
  EXPECT_THAT(text, ContainsRegex("Watch directory: +" + path("queue").string()));
  EXPECT_THAT(text, HasSubstr("1 queued, 1 running, 0 done, 0 failed, 0 cancelled"));
  EXPECT_THAT(run({"daemon", "-op", "list"}), ContainsRegex("default +hyper2kvm.service "));
}

TEST_F(Hyperctl, ListsShowsCancelsAndTriesAgain) {
  configure("MAX_CONCURRENT=1\n");
  start_and_wait();
  hold("slow");
  submit_and_wait(manifest("waits"));
  ASSERT_TRUE(eventually([&] { return run({"jobs", "list"}).find("waits for slot") != std::string::npos; }));
  run({"jobs", "cancel", "waits"});
  EXPECT_TRUE(failed("waits"));
  EXPECT_THAT(run({"jobs", "show", "waits"}), ContainsRegex("State: +cancelled"));
  // One that runs, too: nothing of it is left.
  run({"jobs", "cancel", "slow"});
  for (pid_t child : conversions()) ::kill(child, SIGCONT);
  ASSERT_TRUE(eventually([&] { return failed("slow"); })) << log();
  EXPECT_THAT(error_of("slow"), HasSubstr("was cancelled"));
  EXPECT_THAT(names_in(path("temp")), SizeIs(0));
  run({"jobs", "retry", "waits"});
  ASSERT_TRUE(eventually([&] { return succeeded("waits"); })) << log();
  EXPECT_FALSE(failed("waits"));
  ASSERT_TRUE(eventually([&] { return run_json({"jobs", "show", "waits"})["job"]["phase"] == "done"; }));
  json shown = run_json({"jobs", "show", "waits"});
  EXPECT_EQ(shown["report"]["pipeline"]["success"], true);
  EXPECT_EQ(run_json({"jobs", "list"})["total"], 2);
}

TEST_F(Hyperctl, AnswersOfAnySizeArrive) {
  start_and_wait();
  run({"daemon", "-op", "pause"});
  for (int i = 0; i < 200; ++i)
    submit_and_wait(manifest("machine-" + std::to_string(i) + std::string(150, 'x')));
  json jobs = run_json({"jobs", "list"});
  EXPECT_EQ(jobs["total"], 200);
  EXPECT_GT(jobs.dump().size(), 128u * 1024);
  EXPECT_EQ(jobs["jobs"][199]["phase"], "queued");
}

TEST_F(Hyperctl, PausesGoesOnAndDrains) {
  start_and_wait();
  EXPECT_THAT(run({"daemon", "-op", "pause"}), HasSubstr("paused"));
  submit_and_wait(manifest("web"));
  EXPECT_THAT(run({"daemon", "-op", "status"}), ContainsRegex("Queue: +paused"));
  run({"daemon", "-op", "resume"});
  ASSERT_TRUE(eventually([&] { return succeeded("web"); })) << log();
  hold("last");
  EXPECT_THAT(run({"daemon", "-op", "drain"}), HasSubstr("drains"));
  submit_and_wait(manifest("later"));
  for (pid_t child : conversions()) ::kill(child, SIGCONT);
  auto status = daemon_->wait_for(120s);
  ASSERT_TRUE(status);
  EXPECT_TRUE(status->success()) << log();
  EXPECT_TRUE(succeeded("last"));
  EXPECT_FALSE(ended("later"));
  start_and_wait();
  EXPECT_TRUE(eventually([&] { return succeeded("later"); })) << log();
}

TEST_F(Hyperctl, WatchesWithBarsOnATerminal) {
  start_and_wait();
  hold("slow");
  os::UniqueFd screen(::open(path("screen").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  std::string words;
  for (const std::string& word : command({"jobs", "watch"})) words += word + " ";
  os::Process terminal = os::Process::start(
      {.arguments = {"script", "-q", "-e", "-c", words, "/dev/null"}, .descriptors = {{screen.get(), 1}}});
  auto drawn = [&] { return os::read_text(path("screen"), 16u << 20); };
  EXPECT_TRUE(eventually([&] { return drawn().find("convert [") != std::string::npos; })) << drawn();
  EXPECT_THAT(drawn(), HasSubstr("\x1b[H"));
  EXPECT_THAT(drawn(), ContainsRegex("slow .*\\[#*\\.+\\] +[0-9]+%"));
  for (pid_t child : conversions()) ::kill(child, SIGCONT);
  EXPECT_TRUE(eventually([&] { return drawn().find(" done ") != std::string::npos; })) << drawn();
}

TEST_F(Hyperctl, ListsTheMachinesOfThisHostForAwk) {
  start_and_wait();
  for (const char* name : {"prod-web", "prod db 1", "test"}) {
    submit_and_wait(manifest(name));
    ASSERT_TRUE(eventually([&] { return succeeded(name); })) << log();
  }
  std::string text = run({"list", "-filter", "PROD"});
  EXPECT_EQ(text[0], '#');
  EXPECT_THAT(text, HasSubstr("prod\\x20db\\x201"));
  EXPECT_THAT(text, ContainsRegex("done +prod-web +default +no +/"));
  EXPECT_THAT(text, Not(HasSubstr("test ")));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
  EXPECT_EQ(run_json({"list", "-filter", "prod*"})["total"], 2);
}

TEST_F(Hyperctl, SaysWhatIsWrong) {
  try {
    run({"jobs", "list"});
    FAIL() << "no daemon runs";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), HasSubstr("the daemon does not run"));
  }
  start_and_wait();
  try {
    run({"jobs", "show", "nobody"});
    FAIL() << "there is no such job";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), HasSubstr("hyperctl jobs list shows all"));
  }
}

}  // namespace
}  // namespace hyper2kvm::integration
