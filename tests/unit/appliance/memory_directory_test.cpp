#include "runner/appliance/memory_directory.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>
#include <vector>

#include "runner/os/error.h"

namespace hyper2kvm::appliance {
namespace {

namespace fs = std::filesystem;

class MemoryDirectories : public testing::Test {
 protected:
  // What a process leaves that is killed while it has one.
  fs::path left_by_a_killed_process() {
    os::Pipe pipe = os::make_pipe();
    pid_t child = ::fork();
    if (child == 0) {
      MemoryDirectory directory(place_.path());
      std::ofstream(directory.path() / "memory") << "bytes";
      std::string name = directory.path().string();
      [[maybe_unused]] auto put = ::write(pipe.write_end.get(), name.data(), name.size());
      ::raise(SIGKILL);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    char name[4096] = {};
    [[maybe_unused]] auto got = ::read(pipe.read_end.get(), name, sizeof name - 1);
    return name;
  }

  os::TemporaryDirectory place_{"memory-directory-test"};
};

TEST_F(MemoryDirectories, ArePrivateAndGoWithTheirOwner) {
  fs::path path;
  {
    MemoryDirectory directory(place_.path());
    path = directory.path();
    struct stat status {};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0700u);
    std::ofstream(path / "memory") << "bytes";
  }
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(MemoryDirectories, OfAKilledProcessIsRemovedByTheNext) {
  fs::path left = left_by_a_killed_process();
  ASSERT_TRUE(fs::exists(left / "memory"));
  MemoryDirectory next(place_.path());
  EXPECT_FALSE(fs::exists(left));
  EXPECT_TRUE(fs::exists(next.path()));
}

TEST_F(MemoryDirectories, OfALivingOwnerStays) {
  MemoryDirectory first(place_.path());
  MemoryDirectory second(place_.path());
  EXPECT_TRUE(fs::exists(first.path()));
  EXPECT_TRUE(fs::exists(second.path()));
}

TEST_F(MemoryDirectories, WhatIsNoneOfThemStays) {
  fs::path elsewhere = place_.path() / "elsewhere";
  fs::create_directory(elsewhere);
  std::ofstream(elsewhere / "file") << "precious";
  std::vector<fs::path> others = {elsewhere, place_.path() / "hyper2kvm-appliance",
                                  place_.path() / "hyper2kvm-appliances-abcdef"};
  for (const fs::path& other : others) fs::create_directory(other);
  std::ofstream(place_.path() / "hyper2kvm-appliance-afile0") << "a file";
  fs::create_symlink(elsewhere, place_.path() / "hyper2kvm-appliance-alink0");
  MemoryDirectory directory(place_.path());
  for (const fs::path& other : others) EXPECT_TRUE(fs::exists(other)) << other;
  EXPECT_TRUE(fs::exists(elsewhere / "file"));
  EXPECT_TRUE(fs::exists(place_.path() / "hyper2kvm-appliance-afile0"));
  EXPECT_TRUE(fs::is_symlink(place_.path() / "hyper2kvm-appliance-alink0"));
}

TEST_F(MemoryDirectories, ManyAtTheSameMomentDoNotTakeEachOthers) {
  std::atomic<int> missing = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 8; ++thread)
    threads.emplace_back([this, &missing] {
      for (int round = 0; round < 50; ++round) {
        MemoryDirectory directory(place_.path());
        std::ofstream file(directory.path() / "memory");
        file << "bytes" << std::flush;
        if (!file || !fs::exists(directory.path() / "memory")) ++missing;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(missing, 0);
  EXPECT_TRUE(fs::is_empty(place_.path()));
}

TEST_F(MemoryDirectories, APlaceThatIsNotThereIsNamed) {
  try {
    MemoryDirectory directory(place_.path() / "none");
    ADD_FAILURE() << "no error";
  } catch (const os::Error& error) {
    EXPECT_NE(error.sentence().find("none"), std::string::npos) << error.sentence();
  }
}

}  // namespace
}  // namespace hyper2kvm::appliance
