#include "runner/guest/guest_root.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <optional>
#include <thread>

#include "tests/unit/guest/tree.h"

namespace hyper2kvm::guest {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct stat status_of(const std::filesystem::path& path) {
  struct stat status {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status;
}

TEST(GuestRoot, ReadsAFileThroughLinksInsideTheRoot) {
  Tree tree;
  tree.file("/usr/lib/os-release", "ID=debian\n").link("/etc/os-release", "../usr/lib/os-release");
  tree.link("/lib", "/usr/lib");
  GuestRoot root(tree.top());
  EXPECT_EQ(root.read("/etc/os-release"), "ID=debian\n");
  EXPECT_EQ(root.read("/lib/os-release"), "ID=debian\n");
  EXPECT_EQ(root.resolve("/lib/os-release"), "/usr/lib/os-release");
  EXPECT_EQ(root.read("/etc/nothing"), std::nullopt);
  EXPECT_EQ(root.read("/usr/lib/os-release/below-a-file"), std::nullopt);
}

TEST(GuestRoot, ALinkOutOfTheRootStaysInside) {
  Tree tree;
  tree.link("/etc/shadow", "/etc/passwd").link("/etc/up", "../../../../../../../../etc/passwd");
  tree.link("/escape", "../../..").directory("/etc");
  GuestRoot root(tree.top());
  // Both lead to the guest's own /etc/passwd, which is not there, and not to that of this machine.
  EXPECT_EQ(root.read("/etc/shadow"), std::nullopt);
  EXPECT_EQ(root.read("/etc/up"), std::nullopt);
  EXPECT_EQ(root.read("/escape/etc/passwd"), std::nullopt);
  root.write("/escape/etc/hostname", "inside\n", "Test.");
  root.commit();
  EXPECT_EQ(tree.read("/etc/hostname"), "inside\n");
}

TEST(GuestRoot, ALinkToItselfIsAnError) {
  Tree tree;
  tree.link("/etc/fstab", "fstab");
  GuestRoot root(tree.top());
  EXPECT_THAT(error_of([&] { root.read("/etc/fstab"); }), HasSubstr("/etc/fstab in the guest"));
}

TEST(GuestRoot, AFifoWhereAFileShouldBeIsAnErrorAndNoHang) {
  Tree tree;
  tree.directory("/etc");
  ASSERT_EQ(::mkfifo(tree.path("/etc/fstab").c_str(), 0644), 0);
  GuestRoot root(tree.top());
  EXPECT_THAT(error_of([&] { root.read("/etc/fstab"); }), HasSubstr("is no regular file"));
  EXPECT_THAT(error_of([&] { root.open("/etc/fstab"); }), HasSubstr("is no regular file"));
  EXPECT_THAT(error_of([&] { root.write("/etc/fstab", "x", "Test."); }), HasSubstr("cannot be rewritten"));
  EXPECT_EQ(root.read_if_sane("/etc/fstab"), std::nullopt);
  EXPECT_THAT(root.warnings(), ElementsAre(HasSubstr("is no regular file")));
}

// Somebody turns /etc into a link out of the root and back, and a file longer and shorter, meanwhile.
TEST(GuestRoot, ThatChangesWhileItIsReadLeadsNowhereElse) {
  Tree outside, tree;
  outside.file("/hostname", "outside\n");
  tree.file("/etc/hostname", "inside\n");
  std::atomic<bool> enough = false;
  std::thread changer([&] {
    std::filesystem::create_symlink(outside.top(), tree.path("/link"));
    for (std::size_t round = 0; !enough; ++round) {
      ::syscall(SYS_renameat2, AT_FDCWD, tree.path("/etc").c_str(), AT_FDCWD, tree.path("/link").c_str(),
                RENAME_EXCHANGE);
      ::syscall(SYS_renameat2, AT_FDCWD, tree.path("/etc").c_str(), AT_FDCWD, tree.path("/link").c_str(),
                RENAME_EXCHANGE);
      [[maybe_unused]] int ignored =
          ::truncate(tree.path("/etc/hostname").c_str(), round % 2 == 0 ? 1 << 16 : 7);
    }
  });
  std::size_t found = 0;
  for (int round = 0; round < 3000; ++round) {
    GuestRoot root(tree.top());
    try {
      std::optional<std::string> text = root.read("/etc/hostname");
      if (!text) continue;
      ++found;
      EXPECT_TRUE(text->starts_with("inside\n")) << *text;
      root.write("/etc/hostname", "inside\nand changed\n", "Test.");
      root.commit();
    } catch (const os::Error&) {
      // One sentence that names the file is as good.
    }
  }
  enough = true;
  changer.join();
  EXPECT_GT(found, 0u);
  EXPECT_EQ(outside.read("/hostname"), "outside\n");
  std::size_t outside_names = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(outside.top()))
    ++outside_names;
  EXPECT_EQ(outside_names, 1u);
}

TEST(GuestRoot, ADirectoryWhereAFileShouldBeIsAnError) {
  Tree tree;
  tree.directory("/etc/fstab");
  GuestRoot root(tree.top());
  EXPECT_THAT(error_of([&] { root.read("/etc/fstab"); }), HasSubstr("is a directory where a file should be"));
  EXPECT_THAT(error_of([&] { root.remove("/etc/fstab", "Test."); }), HasSubstr("is a directory"));
}

TEST(GuestRoot, AHugeSparseFileIsNotRead) {
  Tree tree;
  tree.file("/etc/fstab", "");
  ASSERT_EQ(::truncate(tree.path("/etc/fstab").c_str(), off_t{4} << 30), 0);
  GuestRoot root(tree.top());
  EXPECT_THAT(error_of([&] { root.read("/etc/fstab"); }), HasSubstr("is longer than"));
}

TEST(GuestRoot, NamesWithNewlinesAreOnlyNames) {
  Tree tree;
  tree.file("/etc/a\nb", "text");
  GuestRoot root(tree.top());
  EXPECT_THAT(root.list("/etc"), ElementsAre("a\nb"));
  EXPECT_EQ(root.read("/etc/a\nb"), "text");
}

TEST(GuestRoot, WritesNothingBeforeCommitAndReadsItsOwnChanges) {
  Tree tree;
  tree.file("/etc/fstab", "old\n").file("/etc/gone", "x\n").directory("/etc/units");
  GuestRoot root(tree.top());
  root.write("/etc/fstab", "new\n", "First.");
  root.remove("/etc/gone", "Second.");
  root.symlink("/etc/units/a.service", "/dev/null", "Third.");
  root.write("/etc/new/deep/file", "made\n", "Fourth.");
  EXPECT_EQ(root.read("/etc/fstab"), "new\n");
  EXPECT_EQ(root.read("/etc/gone"), std::nullopt);
  EXPECT_EQ(root.read_link("/etc/units/a.service"), "/dev/null");
  EXPECT_EQ(root.read("/etc/new/deep/file"), "made\n");
  EXPECT_THAT(root.list("/etc"), ElementsAre("fstab", "new", "units"));
  EXPECT_THAT(root.list("/etc/new"), ElementsAre("deep"));
  EXPECT_EQ(tree.read("/etc/fstab"), "old\n");
  EXPECT_TRUE(tree.exists("/etc/gone"));
  EXPECT_FALSE(tree.exists("/etc/new"));

  std::vector<Edit> planned = root.edits();
  root.commit();
  EXPECT_EQ(tree.read("/etc/fstab"), "new\n");
  EXPECT_FALSE(tree.exists("/etc/gone"));
  EXPECT_EQ(std::filesystem::read_symlink(tree.path("/etc/units/a.service")), "/dev/null");
  EXPECT_EQ(tree.read("/etc/new/deep/file"), "made\n");
  std::vector<Edit> made = root.edits();
  ASSERT_EQ(planned.size(), made.size());
  for (std::size_t index = 0; index < made.size(); ++index) {
    EXPECT_EQ(planned[index].path, made[index].path);
    EXPECT_EQ(planned[index].diff, made[index].diff);
  }
}

TEST(GuestRoot, RecordsOneEditForAPathThatChangedTwice) {
  Tree tree;
  tree.file("/etc/fstab", "a\nb\n");
  GuestRoot root(tree.top());
  root.write("/etc/fstab", "A\nb\n", "Upper case.");
  root.write("/etc/fstab", "A\nB\n", "More of it.");
  std::vector<Edit> edits = root.edits();
  ASSERT_EQ(edits.size(), 1u);
  EXPECT_EQ(edits[0].action, "changed");
  EXPECT_EQ(edits[0].reason, "Upper case. More of it.");
  EXPECT_THAT(edits[0].diff, HasSubstr("-a\n-b\n+A\n+B\n"));
}

TEST(GuestRoot, AChangeThatWasTakenBackIsNoEdit) {
  Tree tree;
  tree.file("/etc/fstab", "a\n");
  GuestRoot root(tree.top());
  root.write("/etc/fstab", "b\n", "Test.");
  root.write("/etc/fstab", "a\n", "Test.");
  root.write("/etc/new", "x", "Test.");
  root.remove("/etc/new", "Test.");
  EXPECT_THAT(root.edits(), IsEmpty());
  root.commit();
  EXPECT_EQ(tree.read("/etc/fstab"), "a\n");
  EXPECT_FALSE(tree.exists("/etc/new"));
}

TEST(GuestRoot, WritingTheSameTextIsNoChange) {
  Tree tree;
  tree.file("/etc/fstab", "a\n");
  GuestRoot root(tree.top(), true);
  root.write("/etc/fstab", "a\n", "Test.");
  EXPECT_THAT(root.edits(), IsEmpty());
}

TEST(GuestRoot, ARewrittenFileKeepsItsModeOwnerAndAttributes) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may set owners and labels";
  Tree tree;
  tree.file("/etc/fstab", "old\n");
  std::filesystem::path path = tree.path("/etc/fstab");
  ASSERT_EQ(::chown(path.c_str(), 12, 34), 0);
  ASSERT_EQ(::chmod(path.c_str(), 0640), 0);
  ASSERT_EQ(::setxattr(path.c_str(), "user.note", "kept", 4, 0), 0);
  const std::string label = "system_u:object_r:etc_t:s0";
  ASSERT_EQ(::setxattr(path.c_str(), "security.selinux", label.data(), label.size(), 0), 0);
  GuestRoot root(tree.top());
  root.write("/etc/fstab", "new\n", "Test.");
  root.commit();
  struct stat status = status_of(path);
  EXPECT_EQ(status.st_uid, 12u);
  EXPECT_EQ(status.st_gid, 34u);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
  char value[100];
  EXPECT_EQ(::getxattr(path.c_str(), "user.note", value, sizeof value), 4);
  EXPECT_EQ(::getxattr(path.c_str(), "security.selinux", value, sizeof value),
            static_cast<ssize_t>(label.size()));
  EXPECT_THAT(root.warnings(), IsEmpty());
}

TEST(GuestRoot, ANewFileHasTheLabelOfItsDirectory) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may set labels";
  Tree tree;
  tree.directory("/etc");
  const std::string label = "system_u:object_r:etc_t:s0";
  ASSERT_EQ(::setxattr(tree.path("/etc").c_str(), "security.selinux", label.data(), label.size(), 0), 0);
  GuestRoot root(tree.top());
  root.write("/etc/systemd/network/10-a.link", "[Match]\n", "Test.");
  root.symlink("/etc/systemd/b", "/dev/null", "Test.");
  root.commit();
  for (const char* name : {"/etc/systemd", "/etc/systemd/network/10-a.link", "/etc/systemd/b"}) {
    char value[100];
    EXPECT_EQ(::lgetxattr(tree.path(name).c_str(), "security.selinux", value, sizeof value),
              static_cast<ssize_t>(label.size()))
        << name;
  }
}

TEST(GuestRoot, RewritesTheFileThatALinkLeadsTo) {
  Tree tree;
  tree.file("/boot/grub2/grub.cfg", "old\n").link("/etc/grub2.cfg", "../boot/grub2/grub.cfg");
  GuestRoot root(tree.top());
  root.write("/etc/grub2.cfg", "new\n", "Test.");
  root.commit();
  EXPECT_EQ(tree.read("/boot/grub2/grub.cfg"), "new\n");
  EXPECT_EQ(std::filesystem::read_symlink(tree.path("/etc/grub2.cfg")), "../boot/grub2/grub.cfg");
}

TEST(GuestRoot, RemovingALinkLeavesWhatItLeadsTo) {
  Tree tree;
  tree.file("/usr/lib/a.service", "x").link("/etc/wants/a.service", "/usr/lib/a.service");
  GuestRoot root(tree.top());
  root.remove("/etc/wants/a.service", "Test.", "disabled");
  root.commit();
  EXPECT_TRUE(tree.exists("/usr/lib/a.service"));
  EXPECT_FALSE(tree.exists("/etc/wants/a.service"));
  std::vector<Edit> edits = root.edits();
  ASSERT_EQ(edits.size(), 1u);
  EXPECT_EQ(edits[0].action, "disabled");
  EXPECT_EQ(edits[0].summary, "link to /usr/lib/a.service");
}

TEST(GuestRoot, AppendsInPlace) {
  Tree tree;
  tree.file("/boot/initrd.img", "first");
  ino_t inode = status_of(tree.path("/boot/initrd.img")).st_ino;
  GuestRoot root(tree.top(), true);
  root.append("/boot/initrd.img", "second", "Test.", "6 bytes");
  std::vector<std::byte> buffer(20);
  auto file = root.open("/boot/initrd.img");
  ASSERT_TRUE(file);
  EXPECT_EQ(file->size(), 11u);
  EXPECT_EQ(file->read_at(3, buffer), 8u);
  EXPECT_EQ(std::string(reinterpret_cast<char*>(buffer.data()), 8), "stsecond");
  root.commit();
  EXPECT_EQ(tree.read("/boot/initrd.img"), "firstsecond");
  EXPECT_EQ(status_of(tree.path("/boot/initrd.img")).st_ino, inode);
  std::vector<Edit> edits = root.edits();
  ASSERT_EQ(edits.size(), 1u);
  EXPECT_EQ(edits[0].action, "appended");
  EXPECT_EQ(edits[0].summary, "6 bytes");
  EXPECT_EQ(edits[0].diff, "");
}

TEST(GuestRoot, KeepsCopiesOfWhatItChangesWhenAsked) {
  Tree tree;
  tree.file("/etc/fstab", "old\n", 0600).file("/etc/gone", "bye\n");
  GuestRoot root(tree.top(), true);
  root.write("/etc/fstab", "new\n", "Test.");
  root.remove("/etc/gone", "Test.");
  root.commit();
  EXPECT_EQ(tree.read("/var/lib/hyper2kvm/original/etc/fstab"), "old\n");
  EXPECT_EQ(status_of(tree.path("/var/lib/hyper2kvm/original/etc/fstab")).st_mode & 07777, 0600u);
  EXPECT_EQ(tree.read("/var/lib/hyper2kvm/original/etc/gone"), "bye\n");
  EXPECT_NE(edit_of(root.edits(), "/var/lib/hyper2kvm/original/etc/fstab"), nullptr);
}

TEST(GuestRoot, AnEarlierCopyIsNotOverwritten) {
  Tree tree;
  tree.file("/etc/fstab", "second\n").file("/var/lib/hyper2kvm/original/etc/fstab", "first\n");
  GuestRoot root(tree.top(), true);
  root.write("/etc/fstab", "third\n", "Test.");
  root.commit();
  EXPECT_EQ(tree.read("/var/lib/hyper2kvm/original/etc/fstab"), "first\n");
}

TEST(GuestRoot, SecretsAreNotInTheReport) {
  Tree tree;
  tree.file("/etc/shadow", "root:*:1::::::\n", 0600);
  GuestRoot root(tree.top(), true);
  root.write("/etc/shadow", "root:$6$salt$hash:1::::::\n", "Test.", {.secret = true});
  for (const Edit& edit : root.edits()) {
    EXPECT_EQ(edit.diff, "") << edit.path;
    EXPECT_EQ(edit.summary.find("$6$"), std::string::npos);
  }
}

TEST(GuestRoot, NothingIsLeftOfAFailedWrite) {
  Tree tree;
  tree.file("/etc/fstab", "old\n");
  GuestRoot root(tree.top());
  root.write("/etc/fstab", "new\n", "Test.");
  // The file becomes a directory behind our back, so that the new one cannot take its name.
  std::filesystem::remove(tree.path("/etc/fstab"));
  tree.directory("/etc/fstab/in-the-way");
  EXPECT_THAT(error_of([&] { root.commit(); }), HasSubstr("/etc/fstab in the guest"));
  EXPECT_THAT(GuestRoot(tree.top()).list("/etc"), ElementsAre("fstab"));
}

}  // namespace
}  // namespace hyper2kvm::guest
