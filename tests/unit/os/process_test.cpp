#include "runner/os/process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "runner/os/error.h"

namespace hyper2kvm::os {
namespace {

using namespace std::chrono_literals;

TEST(RunProgram, ReturnsWhatItPrinted) {
  EXPECT_EQ(run_program({.arguments = {"echo", "a b", "$HOME"}}), "a b $HOME\n");
}

TEST(RunProgram, AFailureCarriesTheLastLineOfItsErrors) {
  try {
    run_program({.arguments = {"sh", "-c", "echo first >&2; echo second >&2; exit 3"}});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.sentence(), "sh: exited with status 3: second");
  }
}

TEST(RunProgram, TakesMuchMoreThanAPipeHolds) {
  EXPECT_EQ(run_program({.arguments = {"head", "-c", "1000000", "/dev/zero"}}).size(), 1000000u);
}

TEST(RunProgram, RefusesEndlessOutput) {
  EXPECT_THROW(run_program({.arguments = {"yes"}}, {}, 60s, 1 << 20), Error);
}

TEST(RunProgram, EndsWhatTakesTooLong) {
  auto started = std::chrono::steady_clock::now();
  EXPECT_THROW(run_program({.arguments = {"sleep", "60"}}, {}, 100ms), Error);
  EXPECT_LT(std::chrono::steady_clock::now() - started, 30s);
}

TEST(RunProgram, AMissingProgramIsNamed) {
  try {
    run_program({.arguments = {"no-such-program-here"}});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.subject(), "no-such-program-here");
    EXPECT_EQ(error.kind(), ErrorKind::kInvalid);
  }
}

TEST(RunProgram, AFileThatIsNoProgramReportsTheErrno) {
  TemporaryDirectory directory("process-test");
  write_text_atomically(directory.path() / "x", "not a program", 0755);
  try {
    run_program({.arguments = {(directory.path() / "x").string()}});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.errno_value(), ENOEXEC);
  }
}

TEST(Process, GivesTheChildOnlyTheNamedDescriptors) {
  Pipe extra = make_pipe();
  std::string listing = run_program(
      {.arguments = {"sh", "-c",
                     "for i in 3 4 5 6 7 8 9 10 11 12; do [ -e /proc/$$/fd/$i ] && echo $i; done; true"},
       .descriptors = {{extra.write_end.get(), 7}}});
  EXPECT_EQ(listing, "7\n");
}

TEST(Process, DescriptorsMayCrossOver) {
  Pipe first = make_pipe();
  Pipe second = make_pipe();
  int a = first.write_end.get();
  int b = second.write_end.get();
  Process process = Process::start(
      {.arguments = {"sh", "-c", "echo one >&" + std::to_string(b) + "; echo two >&" + std::to_string(a)},
       .descriptors = {{a, b}, {b, a}}});
  EXPECT_TRUE(process.wait().success());
  char text[8] = {};
  ASSERT_EQ(::read(first.read_end.get(), text, sizeof text), 4);
  EXPECT_STREQ(text, "one\n");
}

TEST(Process, EnvironmentCanBeOnlyWhatIsGiven) {
  EXPECT_EQ(
      run_program({.arguments = {"/usr/bin/env"}, .environment = {{"A", "1"}}, .clear_environment = true}),
      "A=1\n");
}

TEST(Process, RunsWithNoNewPrivileges) {
  EXPECT_EQ(run_program({.arguments = {"grep", "NoNewPrivs", "/proc/self/status"}}), "NoNewPrivs:\t1\n");
}

TEST(Process, AStopRequestKillsItAndItsChildren) {
  StopSource source;
  Process process = Process::start({.arguments = {"sh", "-c", "sleep 1000 & sleep 1000"}});
  pid_t group = process.pid();
  std::thread stopper([&] {
    std::this_thread::sleep_for(50ms);
    source.request_stop();
  });
  EXPECT_THROW(process.wait(source.token()), Error);
  stopper.join();
  for (int i = 0; i < 200 && ::kill(-group, 0) == 0; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_EQ(::kill(-group, 0), -1);
}

TEST(Process, WhatItLeavesRunningEndsWithIt) {
  Pipe pipe = make_pipe();
  Process process = Process::start(
      {.arguments = {"sh", "-c", "sleep 60 & exit 0"}, .descriptors = {{pipe.write_end.get(), 1}}});
  pipe.write_end.reset();
  EXPECT_TRUE(process.wait().success());
  char byte;
  EXPECT_EQ(::read(pipe.read_end.get(), &byte, 1), 0) << "somebody still holds the other end";
}

TEST(Process, AGuardedGroupEndsWhenWeAreKilled) {
  Pipe pipe = make_pipe();
  pid_t owner = ::fork();
  ASSERT_GE(owner, 0);
  if (owner == 0) {
    // The grandchild has no parent that dies with us; "x" says that it runs.
    Process process = Process::start({.arguments = {"sh", "-c", "(echo x; sleep 60) & wait"},
                                      .descriptors = {{pipe.write_end.get(), 1}},
                                      .guard_group = true});
    pipe.write_end.reset();
    ::pause();
    ::_exit(0);
  }
  pipe.write_end.reset();
  char bytes[2];
  ASSERT_EQ(::read(pipe.read_end.get(), bytes, 2), 2);
  ::kill(owner, SIGKILL);
  ASSERT_EQ(::waitpid(owner, nullptr, 0), owner);
  EXPECT_EQ(::read(pipe.read_end.get(), bytes, 1), 0) << "somebody still holds the other end";
}

TEST(Process, AGuardedProcessEndsAsAnyOther) {
  Process process = Process::start({.arguments = {"sh", "-c", "exit 4"}, .guard_group = true});
  EXPECT_EQ(process.wait().code, 4);
  Process sleeper = Process::start({.arguments = {"sleep", "60"}, .guard_group = true});
  sleeper.signal(SIGTERM);
  EXPECT_EQ(sleeper.wait().code, SIGTERM);
  // Nobody is left to wait for.
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
}

TEST(Process, LeavesNoCoreFile) {
  EXPECT_EQ(run_program({.arguments = {"sh", "-c", "ulimit -H -c"}}), "0\n");
}

TEST(Process, ItsSignalIsReported) {
  Process process = Process::start({.arguments = {"sleep", "100"}});
  process.signal(SIGTERM);
  ExitStatus status = process.wait();
  EXPECT_TRUE(status.signalled);
  EXPECT_EQ(status.code, SIGTERM);
}

TEST(Process, ALimitOnFileSizeHolds) {
  TemporaryDirectory directory("process-test");
  Process process =
      Process::start({.arguments = {"head", "-c", "100000", "/dev/zero"},
                      .descriptors = {{File::open(directory.path() / "f", File::Mode::kCreate).fd(), 1}},
                      .limit_file_size = 4096});
  EXPECT_FALSE(process.wait().success());
}

}  // namespace
}  // namespace hyper2kvm::os
