// The appliance with real parts: linux.uml, qemu-storage-daemon, the root image that the build made, and a
// root image whose agent is the test's own (appliance_probe.cpp).
#include "runner/appliance/appliance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "runner/image/conversion.h"
#include "runner/image/source.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/os/process.h"
#include "tests/integration/program.h"

namespace hyper2kvm::appliance {
namespace {

namespace fs = std::filesystem;
using contract::SourceFormat;
using integration::must_run;
using integration::names_in;
using integration::sha256;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;
using namespace std::chrono_literals;

// The root image with the test's agent.
Installation probe_installation() {
  fs::path directory = HYPER2KVM_TEST_PROBE;
  return {.kernel = directory / "linux.uml", .root_image = directory / "appliance-root.img"};
}

class Appliance : public testing::Test {
 protected:
  Appliance() : place_("appliance-test") {
    scratch_ = place_.path() / "a scratch, with: a long name " / std::string(100, 's');
    os::make_directories(scratch_);
    session_.scratch = scratch_;
    session_.installation = probe_installation();
    session_.limits = {.memory_bytes = 256ull << 20, .time = 120s};
    session_.console_log = place_.path() / "console.log";
  }

  // A disk of 64 MiB with these first four bytes.
  fs::path make_raw_disk(const std::string& name, std::string_view first_bytes = "none") {
    fs::path path = place_.path() / name;
    std::ofstream(path) << first_bytes;
    fs::resize_file(path, 64 << 20);
    return path;
  }

  // A small Debian without a kernel, on a disk without partitions.
  fs::path make_guest_disk() {
    fs::path tree = place_.path() / "tree";
    for (const char* directory : {"etc", "usr/bin", "usr/lib", "usr/sbin", "var", "boot", "bin", "sbin"})
      os::make_directories(tree / directory);
    os::write_text_atomically(
        tree / "etc/os-release",
        "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n");
    os::write_text_atomically(tree / "etc/hostname", "inner\n");
    os::write_text_atomically(tree / "etc/fstab", "/dev/sda / ext4 defaults 0 1\n");
    os::write_text_atomically(tree / "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
    fs::path disk = place_.path() / "guest.raw";
    must_run({"mke2fs", "-q", "-t", "ext4", "-d", tree.string(), disk.string(), "64M"});
    return disk;
  }

  void add_disk(const image::ImageLocation& location, SourceFormat format, bool writable = true) {
    std::string name = "disk" + std::to_string(session_.disks.size());
    image::SourceImage source = image::open_source(location, format, name);
    fs::path overlay;
    if (writable) {
      overlay = place_.path() / (name + ".overlay");
      image::create_overlay(overlay, source.virtual_size);
    }
    session_.disks.push_back({source.node_name, source.blockdevs, overlay, source.files});
  }
  void add_disk(const fs::path& path, SourceFormat format = SourceFormat::kRaw, bool writable = true) {
    add_disk({path, 0, fs::file_size(path)}, format, writable);
  }

  guest::Answer run(const std::string& what = "", const os::StopToken& stop = {},
                    const std::function<void(const std::string&)>& progress = {}) {
    guest::Request request;
    request.mode = mode_;
    request.root = what;
    request.disk_count = session_.disks.size();
    return appliance::run(session_, request, stop, progress);
  }

  std::string error_of(const std::string& what, const os::StopToken& stop = {},
                       const std::function<void(const std::string&)>& progress = {}) {
    try {
      guest::Answer answer = run(what, stop, progress);
      ADD_FAILURE() << "no error; success " << answer.success << " " << answer.error;
      return "";
    } catch (const os::Error& error) {
      return error.sentence();
    }
  }

  // Processes of this test that work in the scratch directory or were told of it.
  std::vector<std::string> processes_left() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      std::error_code failed;
      std::string directory = fs::read_symlink(entry.path() / "cwd", failed).string();
      std::ifstream file(entry.path() / "cmdline");
      // A process that ends meanwhile cannot be read: the stream, unlike an iterator, takes that for an end.
      std::ostringstream text;
      text << file.rdbuf();
      std::string arguments = text.str();
      bool is_self = entry.path().filename() == std::to_string(::getpid());
      if (!is_self && (directory.starts_with(place_.path().string()) ||
                       arguments.find(place_.path().string()) != std::string::npos))
        found.push_back(entry.path().filename().string() + " " + arguments);
    }
    return found;
  }

  // Where a run of that process has the memory of its machine.
  static fs::path memory_directory_of(pid_t process) {
    for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(process) + "/fd")) {
      std::error_code failed;
      fs::path target = fs::read_symlink(entry.path(), failed);
      if (target.filename().string().starts_with("hyper2kvm-appliance-")) return target;
    }
    return {};
  }

  void expect_nothing_left() const {
    // What was killed may need a moment to be gone.
    auto until = std::chrono::steady_clock::now() + 5s;
    while (!processes_left().empty() && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(10ms);
    EXPECT_THAT(processes_left(), IsEmpty());
    EXPECT_THAT(names_in(scratch_), IsEmpty());
  }

  os::TemporaryDirectory place_;
  fs::path scratch_;
  Session session_;
  guest::Mode mode_ = guest::Mode::kInspect;
};

// --- The real agent.

class Agent : public Appliance {
 protected:
  Agent() { session_.installation = find_installation(); }

  void expect_the_guest_is_found() {
    std::vector<std::string> said;
    guest::Answer answer = run("", {}, [&](const std::string& text) { said.push_back(text); });
    EXPECT_TRUE(answer.success) << answer.error;
    EXPECT_EQ(answer.inspection.distribution, "debian");
    EXPECT_EQ(answer.inspection.hostname, "inner");
    EXPECT_EQ(answer.inspection.root_device, "disk0");
    EXPECT_THAT(said, Not(IsEmpty()));
    expect_nothing_left();
  }
};

TEST_F(Agent, FindsTheGuestOnARawDisk) {
  add_disk(make_guest_disk());
  expect_the_guest_is_found();
}

TEST_F(Agent, FindsTheGuestOnAReadOnlyDisk) {
  add_disk(make_guest_disk(), SourceFormat::kRaw, /*writable=*/false);
  expect_the_guest_is_found();
}

TEST_F(Agent, FindsTheGuestInAStreamOptimizedVmdk) {
  fs::path vmdk = place_.path() / "guest.vmdk";
  must_run({"qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized",
            make_guest_disk().string(), vmdk.string()});
  add_disk(vmdk, SourceFormat::kVmdk);
  expect_the_guest_is_found();
}

TEST_F(Agent, FindsTheGuestInAMemberOfAnOva) {
  fs::path vmdk = place_.path() / "guest.vmdk";
  must_run({"qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized",
            make_guest_disk().string(), vmdk.string()});
  fs::path ova = place_.path() / "guest.ova";
  must_run({"tar", "-C", place_.path().string(), "--format=ustar", "-cf", ova.string(), "guest.vmdk"});
  // The first member's bytes begin behind its header.
  add_disk({ova, 512, fs::file_size(vmdk)}, SourceFormat::kVmdk);
  fs::remove(vmdk);
  expect_the_guest_is_found();
}

TEST_F(Agent, SaysThatThereIsNoGuest) {
  add_disk(make_raw_disk("empty.raw"));
  // To look at a disk without a guest is no failure, to repair one is.
  guest::Answer answer = run();
  EXPECT_TRUE(answer.success) << answer.error;
  EXPECT_THAT(answer.warnings, Contains(HasSubstr("no operating system")));
  mode_ = guest::Mode::kRepair;
  answer = run();
  EXPECT_FALSE(answer.success);
  EXPECT_THAT(answer.error, HasSubstr("no operating system"));
  expect_nothing_left();
}

// A second process runs this test without any privilege; see the next one.
TEST_F(Agent, NeedsNoPrivilege) {
  if (std::getenv("HYPER2KVM_TEST_UNPRIVILEGED") != nullptr) {
    std::ifstream file("/proc/self/status");
    std::string status((std::istreambuf_iterator<char>(file)), {});
    EXPECT_THAT(status, HasSubstr("\nNoNewPrivs:\t1\n"));
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"})
      EXPECT_THAT(status, HasSubstr(std::string("\n") + set + ":\t0000000000000000\n"));
    add_disk(make_guest_disk());
    expect_the_guest_is_found();
    return;
  }
  if (::geteuid() != 0)
    GTEST_SKIP() << "only root can take its own rights away; the other tests run without any";
  // Where this build tree is not for everybody, the other user gets copies.
  for (const fs::path& file :
       {fs::read_symlink("/proc/self/exe"), session_.installation.root_image, session_.installation.kernel})
    fs::copy_file(file, place_.path() / file.filename());
  fs::permissions(place_.path(), fs::perms::all);
  os::ProcessOptions options;
  options.arguments =
      integration::as_nobody({(place_.path() / fs::read_symlink("/proc/self/exe").filename()).string(),
                              "--gtest_filter=Agent.NeedsNoPrivilege"});
  options.environment = {{"HYPER2KVM_TEST_UNPRIVILEGED", "1"},
                         {"HYPER2KVM_APPLIANCE", place_.path().string()},
                         {"TMPDIR", place_.path().string()}};
  std::string output = os::run_program(options);
  EXPECT_THAT(output, HasSubstr("[  PASSED  ] 1 test."));
}

// --- The machine, seen from inside.

TEST_F(Appliance, HasNoNetworkAndNoFileOfTheHost) {
  std::vector<std::string> facts = run("look around").warnings;
  EXPECT_THAT(facts, Contains("interface lo"));
  EXPECT_THAT(facts, Not(Contains(AllOf(StartsWith("interface "), Not("interface lo")))));
  EXPECT_THAT(facts, Contains("connect outside: Network is unreachable"));
  EXPECT_THAT(facts, Contains("mount hostfs: No such device"));
  EXPECT_THAT(facts, Not(Contains("a file system of the host")));
  std::vector<std::string> entries;
  for (const std::string& fact : facts)
    if (fact.starts_with("root entry ")) entries.push_back(fact.substr(11));
  std::sort(entries.begin(), entries.end());
  EXPECT_THAT(entries, ElementsAre("bin", "dev", "etc", "init", "lib", "lib64", "lost+found", "mnt", "proc",
                                   "run", "sbin", "sys", "tmp", "usr"));
  expect_nothing_left();
}

TEST_F(Appliance, HasTheDisksInTheOrderGiven) {
  for (int disk = 0; disk < 12; ++disk) {
    std::string name = "d" + std::to_string(10 + disk);
    add_disk(make_raw_disk(name + ".raw", name + "\n"), SourceFormat::kRaw, disk % 2 == 0);
  }
  std::vector<std::string> expected;
  for (int disk = 0; disk < 12; ++disk) expected.push_back("d" + std::to_string(10 + disk));
  std::vector<std::string> found = run("name the disks").warnings;
  for (std::string& name : found) name.resize(3);
  EXPECT_EQ(found, expected);
  expect_nothing_left();
}

TEST_F(Appliance, WritesAndDiscardsReachTheOverlayAndNothingElse) {
  fs::path disk = make_raw_disk("disk.raw");
  {
    std::fstream file(disk, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(0);
    std::string bytes(4 << 20, 'o');
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  std::string before = sha256(disk);
  add_disk(disk);
  guest::Answer answer = run("write");
  EXPECT_TRUE(answer.success) << answer.error;
  EXPECT_EQ(sha256(disk), before);
  fs::path overlay = session_.disks[0].overlay;
  must_run({"qemu-img", "check", "-q", "-f", "qcow2", overlay.string()});
  // What the pipeline will do: the overlay over a copy of the source.
  fs::path copy = place_.path() / "copy.raw";
  must_run(
      {"qemu-img", "rebase", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", disk.string(), overlay.string()});
  must_run({"qemu-img", "convert", "-f", "qcow2", "-O", "raw", overlay.string(), copy.string()});
  std::ifstream file(copy, std::ios::binary);
  std::string bytes(4 << 20, '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  std::string expected = std::string(1 << 20, 'o') + std::string(1 << 20, 'w') + std::string(1 << 20, '\0') +
                         std::string(1 << 20, 'o');
  EXPECT_TRUE(bytes == expected);
  expect_nothing_left();
}

TEST_F(Appliance, ADiskWithoutAnOverlayCannotBeWritten) {
  add_disk(make_raw_disk("disk.raw"), SourceFormat::kRaw, /*writable=*/false);
  EXPECT_THAT(run("write to a read-only disk").warnings, ElementsAre("Operation not permitted"));
  expect_nothing_left();
}

TEST_F(Appliance, TakesALongRequestAndGivesALongAnswer) {
  guest::Request request;
  request.root = "repeat";
  std::string text;
  for (int line = 0; text.size() < 1'000'000; ++line)
    text += "line " + std::to_string(line) + " of the file, ";
  request.configuration.network_files["/etc/large"] = text;
  guest::Answer answer = appliance::run(session_, request, {}, {});
  EXPECT_TRUE(answer.success) << answer.error;
  std::string repeated;
  for (const std::string& piece : answer.warnings) repeated += piece;
  EXPECT_TRUE(repeated == text) << repeated.size();
}

TEST_F(Appliance, TheProgramsOfItsImageWork) {
  fs::path disk = make_raw_disk("vfat.raw");
  must_run({"mkfs.vfat", disk.string()});
  add_disk(disk);
  EXPECT_THAT(run("try the programs").warnings,
              ElementsAre("e2fsck: works", "xfs_repair: works", "btrfs: works", "lvm: works",
                          "dmsetup: works", "mdadm: works", "depmod: works", "ntfs-3g: works",
                          "cryptsetup: works", "fsck.vfat: works", "mount vfat: done"));
  expect_nothing_left();
}

TEST_F(Appliance, StartsAgainForRaid6) { EXPECT_THAT(run("raid6").warnings, ElementsAre("started again")); }

// --- What can go wrong.

TEST_F(Appliance, AStopRequestEndsItAtOnceAndLeavesNothing) {
  add_disk(make_raw_disk("disk.raw"));
  os::StopSource source;
  auto stopped = std::chrono::steady_clock::now();
  std::string sentence = error_of("hang", source.token(), [&](const std::string& text) {
    EXPECT_EQ(text, "hanging");
    EXPECT_THAT(processes_left(), Not(IsEmpty()))
        << "the search for processes finds none of a running machine";
    stopped = std::chrono::steady_clock::now();
    source.request_stop();
  });
  EXPECT_THAT(sentence, HasSubstr("cancelled"));
  expect_nothing_left();
}

TEST_F(Appliance, TheTimeLimitEndsItAndLeavesNothing) {
  add_disk(make_raw_disk("disk.raw"));
  session_.limits.time = 3s;
  EXPECT_THAT(error_of("hang"), HasSubstr("took longer than 3 s"));
  expect_nothing_left();
}

TEST_F(Appliance, TheTimeLimitHoldsForAMachineThatDoesNotEnd) {
  session_.limits.time = 3s;
  EXPECT_THAT(error_of("answer and hang"), HasSubstr("took longer than 3 s"));
  expect_nothing_left();
}

TEST_F(Appliance, ACrashBetweenTheAnswerAndTheEndIsAnError) {
  EXPECT_THAT(error_of("answer and crash"), HasSubstr("after the answer: Kernel panic"));
  expect_nothing_left();
}

TEST_F(Appliance, NoProcessIsLeftWhenWeAreKilledOurselves) {
  add_disk(make_raw_disk("disk.raw"));
  os::Pipe pipe = os::make_pipe();
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    try {
      run("hang", {},
          [&](const std::string&) { [[maybe_unused]] auto put = ::write(pipe.write_end.get(), "x", 1); });
    } catch (...) {
    }
    ::_exit(0);
  }
  char byte;
  ASSERT_EQ(::read(pipe.read_end.get(), &byte, 1), 1);
  fs::path memory = memory_directory_of(child);
  EXPECT_TRUE(fs::exists(memory)) << memory;
  ::kill(child, SIGKILL);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  auto until = std::chrono::steady_clock::now() + 5s;
  while (!processes_left().empty() && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(10ms);
  EXPECT_THAT(processes_left(), IsEmpty());
  // What no process could remove goes with the next run.
  EXPECT_TRUE(run("name the disks").success);
  EXPECT_FALSE(fs::exists(memory)) << memory;
}

TEST_F(Appliance, ACrashOfTheKernelSaysWhatTheConsoleSaid) {
  std::string sentence = error_of("crash the kernel");
  EXPECT_THAT(sentence, HasSubstr("Kernel panic"));
  EXPECT_THAT(sentence, HasSubstr("sysrq triggered crash"));
  EXPECT_THAT(os::read_text(session_.console_log, 1 << 20), HasSubstr("sysrq triggered crash"));
  expect_nothing_left();
}

TEST_F(Appliance, AnAgentThatEndsIsAnError) {
  EXPECT_THAT(error_of("leave"), HasSubstr("Attempted to kill init"));
  expect_nothing_left();
}

TEST_F(Appliance, AllItsMemoryIsTakenAndTheHostsIsNot) {
  session_.limits.memory_bytes = 128ull << 20;
  EXPECT_THAT(error_of("take all memory"), HasSubstr("its kernel"));
  rusage children{};
  ::getrusage(RUSAGE_CHILDREN, &children);
  EXPECT_LT(children.ru_maxrss, 512 * 1024) << "KiB";
  expect_nothing_left();
}

TEST_F(Appliance, AForkBombStaysInside) {
  session_.limits.time = 5s;
  session_.limits.memory_bytes = 128ull << 20;
  error_of("fork bomb");
  expect_nothing_left();
}

TEST_F(Appliance, AnEndlessLineIsRefused) {
  EXPECT_THAT(error_of("endless line"), HasSubstr("a line of more than"));
  expect_nothing_left();
}

TEST_F(Appliance, EndlessProgressIsRefused) {
  EXPECT_THAT(error_of("endless progress"), HasSubstr("progress"));
  expect_nothing_left();
}

TEST_F(Appliance, WhatIsNoAnswerIsRefused) {
  EXPECT_THAT(error_of("not an answer"), Not(IsEmpty()));
  expect_nothing_left();
}

TEST_F(Appliance, AnEndlessConsoleIsKeptWithinBounds) {
  EXPECT_TRUE(run("endless console").success);
  EXPECT_LT(fs::file_size(session_.console_log), 150'000u);
}

TEST_F(Appliance, ADiskThatCannotBeOpenedIsTheDaemonsOwnSentence) {
  add_disk(make_raw_disk("disk.raw"));
  fs::remove(place_.path() / "disk.raw");
  std::string sentence = error_of("hang");
  EXPECT_THAT(sentence, HasSubstr("qemu-storage-daemon"));
  EXPECT_THAT(sentence, HasSubstr("disk.raw"));
  expect_nothing_left();
}

TEST_F(Appliance, AMissingKernelIsNamedWithItsPackage) {
  session_.installation.kernel = place_.path() / "linux.uml";
  std::string sentence = error_of("");
  EXPECT_THAT(sentence, HasSubstr(session_.installation.kernel.string()));
  EXPECT_THAT(sentence, HasSubstr("user-mode-linux"));
}

TEST_F(Appliance, AMissingRootImageIsNamed) {
  session_.installation.root_image = place_.path() / "none.img";
  EXPECT_THAT(error_of(""), HasSubstr("none.img"));
}

TEST_F(Appliance, ARootImageThatIsNoneSaysWhatTheKernelSaid) {
  session_.installation.root_image = make_raw_disk("root.img");
  EXPECT_THAT(error_of(""), HasSubstr("Unable to mount root fs"));
  expect_nothing_left();
}

TEST_F(Appliance, TooLittleMemoryIsRefused) {
  session_.limits.memory_bytes = 16ull << 20;
  EXPECT_THAT(error_of(""), HasSubstr("16 MiB"));
}

// --- Where the parts are found.

TEST(FindInstallation, AnEmptyDirectoryOfTheEnvironmentIsNamed) {
  os::TemporaryDirectory empty("appliance-test");
  const char* before = std::getenv("HYPER2KVM_APPLIANCE");
  std::string kept = before != nullptr ? before : "";
  ::setenv("HYPER2KVM_APPLIANCE", empty.path().c_str(), 1);
  try {
    find_installation();
    ADD_FAILURE() << "no error";
  } catch (const os::Error& error) {
    EXPECT_THAT(error.sentence(), HasSubstr(empty.path().string()));
  }
  if (before != nullptr)
    ::setenv("HYPER2KVM_APPLIANCE", kept.c_str(), 1);
  else
    ::unsetenv("HYPER2KVM_APPLIANCE");
}

}  // namespace
}  // namespace hyper2kvm::appliance
