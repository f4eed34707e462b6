// An ordinary user's own libvirt, qemu:///session: the built program converts and registers as somebody
// without any rights, whose libvirtd is started by libvirt itself when it is first asked for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <pugixml.hpp>
#include <thread>

#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/os/process.h"
#include "tests/integration/libvirt_host.h"
#include "tests/integration/program.h"
#include "tests/integration/small_guests.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class LibvirtSession : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
    for (const char* program : {"libvirtd", "virsh", "setpriv"})
      if (os::find_program(program).empty()) GTEST_SKIP() << "needs " << program;
    // The checkout may be where nobody may look.
    fs::copy_file(program_path(), place() / "hyper2kvm");
    for (const char* part : {"home", "run", "out", "pool"}) {
      fs::create_directory(place() / part);
      fs::permissions(place() / part, fs::perms(0700));
      give_to_nobody(place() / part);
    }
    make_bios_disk(place() / "disk.raw", "the session's machine boots", 8 << 20);
  }

  void TearDown() override {
    if (connection_) connection_->end_all();
    connection_.reset();
    EXPECT_THAT(ended_processes(), Not(testing::Contains(HasSubstr("qemu-system"))));
  }

  const fs::path& place() const { return directory_.path(); }

  std::string as_nobody(const std::vector<std::string>& arguments) const {
    os::ProcessOptions options;
    options.arguments = integration::as_nobody(arguments);
    options.environment = {{"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"},
                           {"HOME", (place() / "home").string()},
                           {"XDG_RUNTIME_DIR", (place() / "run").string()}};
    options.clear_environment = true;
    return os::run_program(options, {}, std::chrono::minutes(2));
  }

  void convert(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {(place() / "hyper2kvm").string(),
                                          "convert",
                                          (place() / "disk.raw").string(),
                                          "--output",
                                          (place() / "out").string(),
                                          "--output-format=raw",
                                          "--no-fix",
                                          "--override",
                                          R"({"vm": {"cpu": 1, "mem_gb": 1, "firmware": "bios"}})",
                                          "--register",
                                          "--libvirt-uri=qemu:///session",
                                          "--start"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    as_nobody(arguments);
  }

  // The same daemon; it lets root in.
  const Machines& machines() {
    if (!connection_)
      connection_.emplace("qemu+unix:///session?socket=" + (place() / "run/libvirt/libvirt-sock").string());
    return *connection_;
  }

  std::string disk_of(const std::string& name) {
    pugi::xml_document document;
    document.load_string(machines().xml(name).c_str());
    return document.select_node("/domain/devices/disk/source/@file").attribute().value();
  }

 private:
  // All that runs for this user of the test, which the directories in its environment tell.
  std::vector<std::pair<pid_t, std::string>> processes() const {
    std::vector<std::pair<pid_t, std::string>> found;
    std::error_code ignored;
    for (const fs::directory_entry& entry : fs::directory_iterator("/proc", ignored)) {
      pid_t pid = std::atoi(entry.path().filename().c_str());
      if (pid <= 0 || pid == ::getpid()) continue;
      try {
        if (os::read_text(entry.path() / "environ", 1 << 20).find(place().string()) != std::string::npos)
          found.emplace_back(pid, os::read_text(entry.path() / "cmdline", 1 << 20));
      } catch (const os::Error&) {
        // It ended meanwhile.
      }
    }
    return found;
  }

  // Ends them, and tells what they were.
  std::vector<std::string> ended_processes() const {
    std::vector<std::string> names;
    for (const auto& [pid, command] : processes()) names.push_back(command);
    for (int attempt = 0; attempt < 500; ++attempt) {
      auto left = processes();
      if (left.empty()) return names;
      for (const auto& [pid, command] : left) ::kill(pid, attempt < 400 ? SIGTERM : SIGKILL);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    ADD_FAILURE() << "does not end: " << testing::PrintToString(names);
    return names;
  }

  OpenDirectory directory_{"session"};
  std::optional<Machines> connection_;
};

TEST_F(LibvirtSession, AMachineIsRegisteredAndStartedWithTheDiskThatWasPublished) {
  convert({"--name=mine"});
  EXPECT_THAT(machines().names(), ElementsAre("mine"));
  EXPECT_EQ(disk_of("mine"), place() / "out" / "disk-0.raw");
  EXPECT_THAT(machines().wait_for_console("mine", {"machine boots"}), HasSubstr("machine boots"));
  // It is what the user's own tools show, too.
  EXPECT_THAT(as_nobody({"virsh", "-c", "qemu:///session", "domstate", "mine"}), HasSubstr("running"));
  nlohmann::json report = read_json(place() / "out" / "report.json");
  EXPECT_EQ(report["warnings"].dump().find("may not enter"), std::string::npos) << report["warnings"];

  as_nobody({"virsh", "-c", "qemu:///session", "destroy", "mine"});
  as_nobody({"virsh", "-c", "qemu:///session", "undefine", "mine"});
  EXPECT_THAT(machines().names(), IsEmpty());
}

TEST_F(LibvirtSession, ADiskGoesIntoAPoolOfTheUserAndItsMachineIsReplaced) {
  const std::string pool = (place() / "pool").string();
  as_nobody({"virsh", "-c", "qemu:///session", "pool-create-as", "disks", "dir", "--target", pool});
  convert({"--name=pooled", "--pool=disks"});
  EXPECT_EQ(disk_of("pooled"), pool + "/pooled-disk-0.raw");
  EXPECT_THAT(machines().wait_for_console("pooled", {"machine boots"}), HasSubstr("machine boots"));
  machines().end("pooled");
  must_run({"cmp", (place() / "out" / "disk-0.raw").string(), pool + "/pooled-disk-0.raw"});

  fs::remove_all(place() / "out" / "disk-0.raw");
  convert({"--name=pooled", "--pool=disks", "--overwrite"});
  EXPECT_EQ(disk_of("pooled"), pool + "/pooled-disk-0-2.raw");
  EXPECT_THAT(names_in(pool), ElementsAre("pooled-disk-0-2.raw"));
  EXPECT_TRUE(machines().runs("pooled"));
}

}  // namespace
}  // namespace hyper2kvm::integration
