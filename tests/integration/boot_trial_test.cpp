// The start of a converted machine, with real disks under a real QEMU: small ones that say something at once,
// and the demo guest, repaired and not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "runner/boot/trial.h"
#include "runner/image/conversion.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/os/process.h"
#include "tests/integration/example.h"
#include "tests/integration/program.h"
#include "tests/integration/small_guests.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using nlohmann::json;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr const char* kPng = "\x89PNG\r\n\x1a\n";

class BootTrial : public testing::Test {
 protected:
  fs::path in(const std::string& name) const { return directory_.path() / name; }

  // A trial of one disk, emulated.
  boot::Trial trial_of(const fs::path& disk, contract::OutputFormat format, std::uint64_t virtual_size) {
    image::create_overlay(in("overlay.qcow2"), virtual_size);
    fs::create_directories(in("scratch"));
    boot::Trial trial;
    trial.machine.emulator = boot::find_emulator();
    trial.machine.memory_mib = 256;
    trial.machine.disks = {{disk, format, false, in("overlay.qcow2")}};
    trial.machine.macs = {"00:50:56:aa:bb:cc"};
    trial.time_limit = 240s;
    trial.scratch = in("scratch");
    trial.screenshot = in("scratch") / "screen.png";
    return trial;
  }
  boot::Trial bios_trial(const std::string& text) {
    make_bios_disk(in("disk.raw"), text);
    return trial_of(in("disk.raw"), contract::OutputFormat::kRaw, fs::file_size(in("disk.raw")));
  }
  void use_uefi(boot::Trial& trial) {
    boot::UefiFirmware host = boot::find_uefi_firmware();
    fs::copy_file(host.variables, in("variables.fd"));
    trial.machine.uefi = boot::UefiFirmware{host.code, in("variables.fd")};
  }

  os::TemporaryDirectory directory_{"boot-trial"};
};

TEST_F(BootTrial, AMachineWithALoginPromptIsUpAndItsDiskIsAsBefore) {
  boot::Trial trial = bios_trial("demo login: ");
  std::string before = sha256(in("disk.raw"));
  boot::Result result = boot::run(trial, {}, {});
  EXPECT_TRUE(result.up);
  EXPECT_EQ(result.sign, "login prompt");
  EXPECT_THAT(result.console_tail, HasSubstr("demo login:"));
  EXPECT_EQ(sha256(in("disk.raw")), before);
}

TEST_F(BootTrial, APanicIsAFailureWithTheConsolesLastWordsAndAPicture) {
  boot::Result result =
      boot::run(bios_trial("Kernel panic - not syncing: Attempted to kill init!\r\n"), {}, {});
  EXPECT_FALSE(result.up);
  EXPECT_EQ(result.sign, "its kernel panicked");
  EXPECT_THAT(result.last_words, HasSubstr("Attempted to kill init!"));
  ASSERT_TRUE(result.has_screenshot);
  EXPECT_THAT(os::read_text(in("scratch") / "screen.png", 16u << 20), StartsWith(kPng));
}

TEST_F(BootTrial, AnEmptyDiskIsSaidToBeOneByTheFirmware) {
  make_disk(in("empty.raw"), 1);
  fs::resize_file(in("empty.raw"), 0);
  fs::resize_file(in("empty.raw"), 1 << 20);
  boot::Result result = boot::run(trial_of(in("empty.raw"), contract::OutputFormat::kRaw, 1 << 20), {}, {});
  EXPECT_FALSE(result.up);
  EXPECT_EQ(result.sign, "its firmware found nothing to start") << result.console_tail;
}

TEST_F(BootTrial, AMachineThatSaysNothingOfItselfFailsWhenItsTimeIsOver) {
  boot::Trial trial = bios_trial("still starting\r\n");
  trial.time_limit = 20s;
  boot::Result result = boot::run(trial, {}, {});
  EXPECT_FALSE(result.up);
  EXPECT_THAT(result.sign, HasSubstr("did not come up within 20 s"));
  EXPECT_THAT(result.last_words, HasSubstr("still starting"));
}

TEST_F(BootTrial, AUefiMachineIsStartedWithUefi) {
  make_uefi_disk(in("disk.qcow2"), "demo login: ");
  boot::Trial trial = trial_of(in("disk.qcow2"), contract::OutputFormat::kQcow2, std::uint64_t{504} << 20);
  use_uefi(trial);
  std::string before = sha256(in("disk.qcow2"));
  boot::Result result = boot::run(trial, {}, {});
  EXPECT_TRUE(result.up) << result.console_tail;
  EXPECT_EQ(result.sign, "login prompt");
  EXPECT_EQ(sha256(in("disk.qcow2")), before);
}

TEST_F(BootTrial, AStopEndsItAndItsEmulator) {
  boot::Trial trial = bios_trial("still starting\r\n");
  os::StopSource source;
  std::thread stopper([&] {
    std::this_thread::sleep_for(2s);
    source.request_stop();
  });
  try {
    boot::run(trial, source.token(), {});
    ADD_FAILURE() << "was not stopped";
  } catch (const os::Error& error) {
    EXPECT_EQ(error.kind(), os::ErrorKind::kCancelled) << error.sentence();
  }
  stopper.join();
  // Whatever still used the overlay would hold its lock.
  must_run({"qemu-img", "info", in("overlay.qcow2").string()});
}

TEST_F(BootTrial, AnEmulatorThatCannotStartIsNotTheMachinesFault) {
  boot::Trial trial = bios_trial("demo login: ");
  trial.machine.disks[0].image = in("gone.raw");
  try {
    boot::run(trial, {}, {});
    ADD_FAILURE() << "started without a disk";
  } catch (const os::Error& error) {
    EXPECT_EQ(error.kind(), os::ErrorKind::kSystem);
    EXPECT_THAT(error.sentence(), HasSubstr("gone.raw"));
  }
}

// The program as a whole, over a manifest or the demo guest.
class BootStage : public testing::Test {
 protected:
  fs::path in(const std::string& name) const { return directory_.path() / name; }
  json report() const { return read_json(in("output") / "report.json"); }

  // A job that converts the disk and starts it.
  fs::path manifest_of(const fs::path& disk) {
    json manifest = manifest_for(disk);
    manifest["source"]["vm_name"] = "small";
    manifest["pipeline"]["validate"]["boot"] = {{"enabled", true}, {"timeout_seconds", 240}, {"mem_mb", 128}};
    manifest["output"]["directory"] = in("output").string();
    write_json(in("job.json"), manifest);
    return in("job.json");
  }
  // Where anybody may look.
  os::TemporaryDirectory directory_{"boot-stage", "/tmp"};
};

TEST_F(BootStage, AMachineThatComesUpIsPublished) {
  make_bios_disk(in("disk.raw"), "small login: ");
  Ran ran = run_hyper2kvm({manifest_of(in("disk.raw")).string()});
  ASSERT_EQ(ran.status, 0) << ran.err;
  json told = report();
  EXPECT_EQ(told["boot"]["up"], true);
  EXPECT_EQ(told["boot"]["sign"], "login prompt");
  EXPECT_EQ(told["boot"]["firmware"], "bios");
  EXPECT_EQ(told["pipeline"]["stages"]["boot"]["success"], true);
  EXPECT_TRUE(told["tools"].contains("qemu-system-x86_64"));
  EXPECT_EQ(names_in(in("output")).size(), 2u) << "the disk and the report";
}

TEST_F(BootStage, OfAMachineThatDoesNotNothingIsPublished) {
  make_bios_disk(in("disk.raw"), "Kernel panic - not syncing: no init\x1b[31m found\r\n");
  Ran ran = run_hyper2kvm(
      {manifest_of(in("disk.raw")).string(), "--termination-message", (in("termination")).string()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("small: the converted machine does not start: its kernel panicked. Its "
                                 "console ends with: "));
  json told = report();
  EXPECT_EQ(told["boot"]["up"], false);
  EXPECT_THAT(told["boot"]["console_tail"].get<std::string>(), HasSubstr("not syncing: no init found"));
  EXPECT_EQ(told["artifacts"], json::array());
  EXPECT_FALSE(told["pipeline"]["stages"].contains("publish"));
  EXPECT_THAT(names_in(in("output")), ElementsAre("report.json", "report.screen.png"));
  EXPECT_EQ(told["boot"]["screenshot"], (in("output") / "report.screen.png").string());
  json termination = read_json(in("termination"));
  EXPECT_EQ(termination["failed_stage"], "boot");
  EXPECT_EQ(termination["may_pass"], false);
  EXPECT_THAT(termination["error"].get<std::string>(), HasSubstr("not syncing: no init found"));
}

TEST_F(BootStage, ASignalEndsItAndLeavesNothing) {
  make_bios_disk(in("disk.raw"), "still starting\r\n");
  os::ProcessOptions options;
  options.arguments = {program_path().string(), manifest_of(in("disk.raw")).string(), "-v"};
  os::Process process = os::Process::start(options);
  // It says when it starts the machine.
  for (int i = 0; i < 1200 && process.stderr_tail().find("starting the machine") == std::string::npos; ++i)
    ASSERT_FALSE(process.wait_for(50ms)) << process.stderr_tail();
  process.wait_for(1s);
  ::kill(process.pid(), SIGTERM);
  std::optional<os::ExitStatus> status = process.wait_for(60s);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->code, 1);
  EXPECT_THAT(names_in(in("output")), ElementsAre("report.json"));
}

TEST_F(BootStage, WorksForAnOrdinaryUserWithoutCapabilitiesAndWithoutKvm) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  fs::permissions(directory_.path(), fs::perms(0755));
  make_bios_disk(in("disk.raw"), "small login: ");
  fs::permissions(in("disk.raw"), fs::perms(0444));
  fs::create_directories(in("output"));
  give_to_nobody(in("output"));
  fs::copy_file(program_path(), in("hyper2kvm"));
  os::ProcessOptions options;
  options.arguments = as_nobody({in("hyper2kvm").string(), manifest_of(in("disk.raw")).string()});
  options.environment = {{"TMPDIR", "/dev/shm"}, {"HOME", "/nonexistent"}};
  os::run_program(options, {}, 4min);
  EXPECT_EQ(report()["boot"]["up"], true);
  EXPECT_EQ(report()["boot"]["accelerator"], "tcg");
}

class BootStageOfTheDemoGuest : public BootStage {
 protected:
  void SetUp() override {
    if (generated_guest("demo").empty()) GTEST_SKIP() << kNoGuests;
  }
};

TEST_F(BootStageOfTheDemoGuest, RepairedItComesUpAndAllItsBootFactsHold) {
  Ran ran = run_hyper2kvm({"convert", example_for("boot-validation.yaml", directory_.path(), in("output"),
                                                  {{"timeout_seconds: 300", "timeout_seconds: 900"}})
                                          .string()});
  ASSERT_EQ(ran.status, 0) << ran.err;
  json told = report();
  EXPECT_EQ(told["boot"]["up"], true);
  EXPECT_THAT(told["boot"]["console_tail"].get<std::string>(), HasSubstr("demo login:"));
  std::vector<std::string> names;
  for (const json& fact : told["boot_facts"]) {
    EXPECT_EQ(fact["holds"], true) << fact;
    names.push_back(fact["name"]);
  }
  for (const char* name : {"boot_loader", "kernel", "initramfs", "virtio", "root", "fstab"})
    EXPECT_THAT(names, Contains(name));
  EXPECT_THAT(names_in(in("output")), Contains(HasSubstr(".qcow2")));
}

TEST_F(BootStageOfTheDemoGuest, UnrepairedItDoesNotFindItsRootAndThatIsSaid) {
  Ran ran = run_hyper2kvm({"convert", (generated_guest("demo") / "demo.ova").string(), "-o",
                           in("output").string(), "--boot-timeout", "900", "--no-fix"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("did not find its root file system"));
  EXPECT_THAT(report()["boot"]["console_tail"].get<std::string>(), HasSubstr("/dev/sda1"));
  EXPECT_THAT(names_in(in("output")), Not(Contains(HasSubstr(".qcow2"))));
}

}  // namespace
}  // namespace hyper2kvm::integration
