#include "runner/appliance/kernel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::appliance {
namespace {

using testing::Contains;
using testing::Each;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

KernelOptions options_for(std::size_t disks) {
  return {.program = "/opt/a place/linux.uml",
          .memory_bytes = 512ull << 20,
          .disks = disks,
          .request_descriptor = 3,
          .answer_descriptor = 4};
}

TEST(KernelArguments, NameTheMemoryTheRootAndTheLine) {
  auto arguments = kernel_arguments(options_for(0));
  EXPECT_EQ(arguments.front(), "/opt/a place/linux.uml");
  for (const char* expected : {"mem=512M", "ubd0r=root.img", "ro", "ssl0=fd:3,fd:4", "init=/init"})
    EXPECT_THAT(arguments, Contains(expected));
}

TEST(KernelArguments, GiveEveryDiskItsSocketAndItsNumber) {
  auto arguments = kernel_arguments(options_for(3));
  for (const char* expected : {"virtio_uml.device=disk0.sock:2:0", "virtio_uml.device=disk1.sock:2:1",
                               "virtio_uml.device=disk2.sock:2:2"})
    EXPECT_THAT(arguments, Contains(expected));
}

TEST(KernelArguments, HoldNoSpaceBehindTheProgram) {
  // The kernel joins them and splits them again: a space would begin an argument of its own.
  auto arguments = kernel_arguments(options_for(3));
  arguments.erase(arguments.begin());
  EXPECT_THAT(arguments, Each(Not(HasSubstr(" "))));
}

TEST(KernelArguments, LeadToNoHostFileAndNoNetwork) {
  auto arguments = kernel_arguments(options_for(1));
  EXPECT_THAT(arguments, Contains(AllOf(StartsWith("initcall_blacklist="), HasSubstr("init_hostfs"))));
  for (const char* forbidden : {"eth", "vec", "hostfs=", "mconsole=", "rootfstype=hostfs", "root=hostfs"})
    EXPECT_THAT(arguments, Not(Contains(StartsWith(forbidden)))) << forbidden;
}

TEST(KernelArguments, TheFunctionsOfRaid6AreMeasuredOnDemandOnly) {
  auto options = options_for(1);
  EXPECT_THAT(kernel_arguments(options), Contains(HasSubstr(kWithoutRaid6)));
  options.with_raid6 = true;
  EXPECT_THAT(kernel_arguments(options), Not(Contains(HasSubstr(kWithoutRaid6))));
}

MemoryPlace place(const char* directory, bool usable, bool is_tmpfs, const char* problem = "") {
  return {.directory = directory, .usable = usable, .is_tmpfs = is_tmpfs, .problem = problem};
}

TEST(MemoryDirectory, TheFirstTmpfsWins) {
  EXPECT_EQ(choose_memory_directory(
                {place("/disk", true, false), place("/a", true, true), place("/b", true, true)}, 1),
            "/a");
}

TEST(MemoryDirectory, ADiskWillDoWhereThereIsNoTmpfs) {
  EXPECT_EQ(choose_memory_directory({place("/a", false, true, "is full"), place("/disk", true, false)}, 1),
            "/disk");
}

TEST(MemoryDirectory, TheErrorSaysWhatIsWrongWithEach) {
  try {
    choose_memory_directory(
        {place("/a", false, true, "is mounted with noexec"), place("/b", false, false, "is full")},
        256ull << 20);
    FAIL() << "no error";
  } catch (const os::Error& error) {
    EXPECT_THAT(error.sentence(), HasSubstr("256 MiB"));
    EXPECT_THAT(error.sentence(), HasSubstr("/a is mounted with noexec; /b is full"));
    EXPECT_THAT(error.advice(), HasSubstr("TMPDIR"));
  }
}

TEST(MemoryDirectory, AnOrdinaryDirectoryIsUsableAndLeftAsItWas) {
  os::TemporaryDirectory directory("kernel-test");
  MemoryPlace found = examine_memory_place(directory.path(), 1 << 20);
  EXPECT_TRUE(found.usable) << found.problem;
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(MemoryDirectory, WithoutEnoughRoomIsNotUsable) {
  os::TemporaryDirectory directory("kernel-test");
  MemoryPlace found = examine_memory_place(directory.path(), 1ull << 60);
  EXPECT_FALSE(found.usable);
  EXPECT_THAT(found.problem, HasSubstr("are needed"));
}

TEST(MemoryDirectory, ThatDoesNotExistIsNotUsable) {
  EXPECT_FALSE(examine_memory_place("/no/such/directory", 1).usable);
  EXPECT_FALSE(examine_memory_place("relative", 1).usable);
}

}  // namespace
}  // namespace hyper2kvm::appliance
