#include "runner/pipeline/workspace.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner/os/file.h"

namespace hyper2kvm::pipeline {
namespace {

namespace fs = std::filesystem;

TEST(Workspace, MakesTheOutputDirectoryAndLeavesItEmpty) {
  os::TemporaryDirectory directory("workspace-test");
  fs::path output = directory.path() / "a" / "b";
  {
    Workspace workspace(output);
    os::write_text_atomically(workspace.path() / "partial", "x");
    EXPECT_EQ(workspace.path().parent_path(), output);
  }
  EXPECT_TRUE(fs::is_empty(output));
}

TEST(Workspace, TwoJobsInOneDirectoryDoNotTouchEachOther) {
  os::TemporaryDirectory directory("workspace-test");
  Workspace first(directory.path());
  os::write_text_atomically(first.path() / "partial", "x");
  Workspace second(directory.path());
  EXPECT_NE(first.path(), second.path());
  EXPECT_TRUE(fs::exists(first.path() / "partial"));
}

TEST(Workspace, WhatAKilledJobLeftIsRemovedByTheNext) {
  os::TemporaryDirectory directory("workspace-test");
  os::Pipe ready = os::make_pipe();
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    Workspace workspace(directory.path());
    os::write_text_atomically(workspace.path() / "partial", "x");
    [[maybe_unused]] ssize_t ignored = ::write(ready.write_end.get(), "r", 1);
    ::pause();
    ::_exit(0);
  }
  char byte;
  ASSERT_EQ(::read(ready.read_end.get(), &byte, 1), 1);
  ASSERT_FALSE(fs::is_empty(directory.path()));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  remove_abandoned_workspaces(directory.path());
  EXPECT_TRUE(fs::is_empty(directory.path()));
}

TEST(Workspace, OtherHiddenFilesAndLinksAreLeftAlone) {
  os::TemporaryDirectory directory("workspace-test");
  os::TemporaryDirectory elsewhere("workspace-test");
  os::write_text_atomically(elsewhere.path() / "precious", "x");
  os::make_directories(directory.path() / ".other");
  fs::create_directory_symlink(elsewhere.path(), directory.path() / ".hyper2kvm-link");
  remove_abandoned_workspaces(directory.path());
  EXPECT_TRUE(fs::exists(directory.path() / ".other"));
  EXPECT_TRUE(fs::exists(elsewhere.path() / "precious"));
}

}  // namespace
}  // namespace hyper2kvm::pipeline
