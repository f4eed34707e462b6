// Guests that were not shut down, or whose file systems are not whole: refused with what to do in the source
// machine, by a dry run as by a repair, or made whole by their journals.
#include "runner/os/file.h"
#include "tests/integration/real_disks.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;
using guest::Answer;
using guest::Mode;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kCheckThere =
    "Check it in the source machine (fsck), shut that machine down and export it again.";

class UnsoundDisks : public RealDisks {
 protected:
  void expect_refused(const GuestDisk& disk, const std::string& problem, const std::string& advice) {
    std::string before = sha256(disk.path);
    for (Mode mode : {Mode::kDryRun, Mode::kRepair}) {
      Answer answer = serve(mode, {disk});
      EXPECT_FALSE(answer.success);
      EXPECT_THAT(answer.error, HasSubstr(problem));
      EXPECT_THAT(answer.error, HasSubstr(advice));
    }
    EXPECT_EQ(sha256(disk.path), before);
  }
};

// --- Asleep.

TEST_F(UnsoundDisks, AGuestThatHibernatedIntoASwapFileIsRefused) {
  put_root_on("/dev/sda", "ext4");
  guest_.tree.file("/etc/fstab", guest_.tree.read("/etc/fstab") + "/swapfile none swap sw 0 0\n");
  // As the kernel signs the first page of a swap file that holds an image of the memory.
  std::string swap(65536, '\0');
  swap.replace(4096 - 10, 9, "S1SUSPEND");
  guest_.tree.file("/swapfile", swap, 0600);
  expect_refused(ext4_of_the_guest(), "is hibernated (its memory is in /swapfile)",
                 "Start the source machine, shut it down and export it again.");
}

TEST_F(UnsoundDisks, ASwapFileIsNoHibernation) {
  put_root_on("/dev/sda", "ext4");
  guest_.tree.file("/etc/fstab", guest_.tree.read("/etc/fstab") + "/swapfile none swap sw 0 0\n");
  guest_.tree.file("/swapfile", std::string(65536, '\0'), 0600);
  must_run({"mkswap", guest_.tree.path("/swapfile").string()});
  expect_repaired({ext4_of_the_guest()}, "disk0");
}

// --- Not shut down.

TEST_F(UnsoundDisks, AFileSystemInUseWithoutAJournalIsRefused) {
  put_root_on("/dev/sda", "ext4");
  GuestDisk disk = disks_.ext4("root.raw", guest_.tree.top(), 64, {"-O", "^has_journal"});
  must_run({"debugfs", "-w", "-R", "set_super_value state 0", disk.path.string()});
  expect_refused(disk, "disk0 (ext", "Shut the source machine down and export it again.");
}

struct Journaled {
  const char* type;
  unsigned mebibytes;
};

class JournalOf : public UnsoundDisks, public testing::WithParamInterface<Journaled> {};

TEST_P(JournalOf, IsReplayedByARepairAndOnlyByThat) {
  put_root_on("/dev/sda", GetParam().type);
  GuestDisk disk = made_by({std::string("mkfs.") + GetParam().type, "-q"}, GetParam().mebibytes);
  disks_.lay_out({disk}, std::string("mount @0 ") + GetParam().type +
                             " /run/new\nwrite /run/new/etc/last-words synced before the end\ncut-power\n");
  std::string before = sha256(disk.path);
  std::vector<GuestDisk> looked_at, after;
  Answer dry = serve(Mode::kDryRun, {disk}, &looked_at);
  EXPECT_TRUE(dry.success) << dry.error;
  EXPECT_EQ(sha256(looked_at[0].path), before);
  Answer answer = serve(Mode::kRepair, {disk}, &after);
  ASSERT_TRUE(answer.success) << answer.error;
  std::map<std::string, FileFacts> files = disks_.files(guest_.request, after);
  EXPECT_EQ(files["/etc/last-words"].size, "22");
  EXPECT_EQ(sha256(disk.path), before);
}

INSTANTIATE_TEST_SUITE_P(Kinds, JournalOf, testing::Values(Journaled{"xfs", 320}, Journaled{"btrfs", 160}),
                         [](const auto& kind) { return std::string(kind.param.type); });

// --- Damaged.

TEST_F(UnsoundDisks, AFileSystemThatIsMarkedAsDamagedIsRefused) {
  put_root_on("/dev/sda", "ext4");
  GuestDisk disk = ext4_of_the_guest();
  must_run({"debugfs", "-w", "-R", "set_super_value state 2", disk.path.string()});
  expect_refused(disk, "disk0 (ext4): the file system is marked as damaged", kCheckThere);
}

TEST_F(UnsoundDisks, DamageThatNobodyHasMarkedIsFoundAndRefused) {
  put_root_on("/dev/sda", "ext4");
  guest_.tree.file("/srv/data", "what nobody opens\n");
  GuestDisk disk = ext4_of_the_guest();
  must_run({"debugfs", "-w", "-R", "clri /srv/data", disk.path.string()});
  expect_refused(disk, "disk0 (ext4): the file system is not whole: e2fsck exited with status 4",
                 kCheckThere);
}

TEST_F(UnsoundDisks, DamageOfAnXfsIsFoundByADryRunToo) {
  put_root_on("/dev/sda", "xfs");
  GuestDisk disk = made_by({"mkfs.xfs", "-q"}, 320);
  EXPECT_TRUE(serve(Mode::kDryRun, {disk}).success);
  must_run({"xfs_db", "-x", "-c", "agi 3", "-c", "write count 5", disk.path.string()});
  Answer answer = serve(Mode::kDryRun, {disk});
  EXPECT_FALSE(answer.success);
  EXPECT_THAT(answer.error, HasSubstr("disk0 (xfs): the file system is not whole: xfs_repair"));
  EXPECT_THAT(answer.error, HasSubstr(kCheckThere));
}

}  // namespace
}  // namespace hyper2kvm::integration
