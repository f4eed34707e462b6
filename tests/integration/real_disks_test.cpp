// The repair on real disks, through the real appliance: each kind of storage, what a repair leaves untouched,
// and disks that want it to fail.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <set>

#include "runner/os/error.h"
#include "tests/integration/guest_disks.h"
#include "tests/integration/program.h"
#include "tests/unit/guest/test_guest.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;
using guest::Answer;
using guest::Mode;
using guest::TestGuest;
using testing::Contains;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* kPassphrase = "open-sesame";

class RealDisks : public testing::Test {
 protected:
  RealDisks() { make_debian(guest_); }

  // The guest believes to be on this, and is told to boot from it.
  void put_root_on(const std::string& device, const std::string& type) {
    guest_.tree.file("/etc/fstab", device + " / " + type + " defaults 0 1\n");
    std::string menu = guest_.tree.read("/boot/grub/grub.cfg");
    std::size_t at = menu.find("root=/dev/sda1");
    menu.replace(at, std::string("root=/dev/sda1").size(), "root=" + device);
    at = menu.find(" resume=/dev/sda5");
    menu.erase(at, std::string(" resume=/dev/sda5").size());
    guest_.tree.file("/boot/grub/grub.cfg", menu);
  }
  GuestDisk ext4_of_the_guest(const std::string& name = "root.raw") {
    return disks_.ext4(name, guest_.tree.top(), 64);
  }
  void give_key(const std::string& secret = kPassphrase) { guest_.request.keys = {{"", secret}}; }

  Answer serve(Mode mode, const std::vector<GuestDisk>& disks, std::vector<GuestDisk>* after = nullptr) {
    guest_.request.mode = mode;
    return disks_.serve(guest_.request, disks, after);
  }
  // The repair succeeds, does what is meant to be done for every guest, and a second one finds nothing to do.
  Answer expect_repaired(const std::vector<GuestDisk>& disks, const std::string& root_device) {
    std::vector<GuestDisk> after;
    Answer answer = serve(Mode::kRepair, disks, &after);
    EXPECT_TRUE(answer.success) << answer.error;
    EXPECT_EQ(answer.inspection.root_device, root_device);
    std::vector<std::string> paths;
    for (const guest::Edit& edit : answer.edits) paths.push_back(edit.path);
    EXPECT_THAT(paths, Contains(HasSubstr("/boot/initrd.img-6.1.0-test")));
    if (!answer.success) return answer;
    Answer again = serve(Mode::kRepair, after);
    EXPECT_TRUE(again.success) << again.error;
    EXPECT_THAT(again.edits, IsEmpty());
    return answer;
  }
  std::string error_of_repair(const std::vector<GuestDisk>& disks) {
    try {
      Answer answer = serve(Mode::kRepair, disks);
      EXPECT_FALSE(answer.success);
      return answer.error;
    } catch (const os::Error& error) {
      return error.sentence();
    }
  }
  static std::string type_of(const Answer& answer, const std::string& device) {
    for (const guest::Partition& partition : answer.inspection.partitions)
      if (partition.device == device) return partition.type;
    return "";
  }

  TestGuest guest_;
  GuestDisks disks_;
};

// --- Kinds of storage.

constexpr const char* kLvm = R"(load dm-mod
write /run/lvm/lvm.conf global { thin_check_executable="" } activation { udev_sync=0 udev_rules=0 monitoring=0 }
)";
constexpr const char* kCrypt = R"(load dm-mod
load dm-crypt
load xts
load ecb
load cbc
load sha512_generic
load algif_skcipher
write /run/key open-sesame
)";

TEST_F(RealDisks, ARootInLuks1) {
  put_root_on("/dev/mapper/inner", "ext4");
  guest_.tree.file("/etc/crypttab", "inner /dev/sda none luks\n");
  GuestDisk plain = ext4_of_the_guest(), disk = disks_.empty("disk.raw", 80);
  disks_.lay_out({disk, plain},
                 std::string(kCrypt) +
                     R"(cryptsetup luksFormat -q --type luks1 --iter-time 10 --disable-locks @0 /run/key
cryptsetup open --type luks --disable-locks --disable-keyring --key-file /run/key @0 inner
copy-device @1 /dev/mapper/inner
cryptsetup close inner
)");
  give_key("open-sesame\n");
  Answer answer = expect_repaired(
      {disk},
      "luks-" + must_run({"blkid", "-p", "-s", "UUID", "-o", "value", disk.path.string()}).substr(0, 36));
  EXPECT_EQ(type_of(answer, "disk0"), "crypto_LUKS");
  const guest::Edit* crypttab = guest::edit_of(answer.edits, "/etc/crypttab");
  ASSERT_NE(crypttab, nullptr);
  EXPECT_THAT(crypttab->diff, HasSubstr("+inner UUID="));
  EXPECT_THAT(disks_.console(), Not(HasSubstr(kPassphrase)));
}

TEST_F(RealDisks, AWrongKeyIsAnErrorThatDoesNotTellIt) {
  GuestDisk disk = disks_.empty("disk.raw", 80);
  os::write_text_atomically(disks_.path() / "key", "another", 0600);
  must_run({"cryptsetup", "luksFormat", "--batch-mode", "--type", "luks1", "--iter-time", "10", "--key-file",
            (disks_.path() / "key").string(), disk.path.string()});
  give_key();
  std::string error = error_of_repair({disk});
  EXPECT_THAT(error, HasSubstr("none of the given keys opens it"));
  EXPECT_THAT(error + disks_.console(), Not(HasSubstr(kPassphrase)));
}

TEST_F(RealDisks, ARootInLuks2AboveLvm) {
  put_root_on("/dev/mapper/inner", "ext4");
  guest_.tree.file("/etc/crypttab", "inner /dev/mapper/outer-crypted none luks\n");
  GuestDisk plain = ext4_of_the_guest(), disk = disks_.empty("disk.raw", 128);
  disks_.lay_out({disk, plain}, std::string(kLvm) + kCrypt + R"(lvm pvcreate -q @0
lvm vgcreate -q outer @0
lvm lvcreate -q -y --noudevsync -Wn -Zn -l 100%FREE -n crypted outer
cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --disable-locks /dev/mapper/outer-crypted /run/key
cryptsetup open --type luks --disable-locks --disable-keyring --key-file /run/key /dev/mapper/outer-crypted inner
copy-device @1 /dev/mapper/inner
cryptsetup close inner
lvm vgchange -an --noudevsync outer
)");
  give_key("open-sesame\n");
  std::vector<GuestDisk> after;
  Answer answer = serve(Mode::kRepair, {disk}, &after);
  ASSERT_TRUE(answer.success) << answer.error;
  EXPECT_THAT(answer.inspection.root_device, testing::StartsWith("luks-"));
  EXPECT_EQ(type_of(answer, "outer/crypted"), "crypto_LUKS");
  EXPECT_THAT(serve(Mode::kRepair, after).edits, IsEmpty());
}

TEST_F(RealDisks, ARootInAThinPool) {
  put_root_on("/dev/mapper/guest--vg-root", "ext4");
  GuestDisk plain = ext4_of_the_guest(), disk = disks_.empty("disk.raw", 160);
  disks_.lay_out({disk, plain}, std::string(kLvm) + R"(load dm-thin-pool
lvm pvcreate -q @0
lvm vgcreate -q guest-vg @0
lvm lvcreate -q -y --noudevsync --type thin-pool -L 100M -n pool guest-vg
lvm lvcreate -q -y --noudevsync --type thin -V 80M --thinpool pool -n root guest-vg
copy-device @1 /dev/mapper/guest--vg-root
lvm vgchange -an --noudevsync guest-vg
)");
  expect_repaired({disk}, "guest-vg/root");
}

TEST_F(RealDisks, UsrAndVarOfTheirOwn) {
  guest_.tree.file(
      "/etc/fstab",
      "/dev/sda / ext4 defaults 0 1\n/dev/sdb /usr ext4 defaults 0 2\n/dev/sdc /var ext4 defaults 0 2\n");
  put_root_on("/dev/sda", "ext4");
  guest_.tree.file(
      "/etc/fstab",
      "/dev/sda / ext4 defaults 0 1\n/dev/sdb /usr ext4 defaults 0 2\n/dev/sdc /var ext4 defaults 0 2\n");
  guest_.tree.directory("/var/lib").file("/var/lib/marker", "of /var\n");
  GuestDisk usr = disks_.ext4("usr.raw", guest_.tree.top() / "usr", 32);
  GuestDisk var = disks_.ext4("var.raw", guest_.tree.top() / "var", 16);
  for (const char* part : {"usr", "var"}) {
    fs::remove_all(guest_.tree.top() / part);
    fs::create_directory(guest_.tree.top() / part);
  }
  GuestDisk root = ext4_of_the_guest();
  Answer answer = expect_repaired({root, usr, var}, "disk0");
  EXPECT_EQ(answer.inspection.distribution, "debian");
  EXPECT_THAT(answer.inspection.hypervisor_tools, Contains("open-vm-tools"));
  std::vector<std::string> mounted;
  for (const guest::Partition& partition : answer.inspection.partitions)
    mounted.push_back(partition.mount_point);
  EXPECT_THAT(mounted, ElementsAre("/", "/usr", "/var"));
  const guest::Edit* fstab = guest::edit_of(answer.edits, "/etc/fstab");
  ASSERT_NE(fstab, nullptr);
  for (const char* place : {" / ext4", " /usr ext4", " /var ext4"})
    EXPECT_THAT(fstab->diff, testing::ContainsRegex("\\+UUID=[-0-9a-f]+" + std::string(place)));
}

// The two that this machine's kernel need not know: the files are copied inside.
class OldFilesystems : public RealDisks, public testing::WithParamInterface<std::vector<std::string>> {};

TEST_P(OldFilesystems, HoldARoot) {
  std::vector<std::string> make = GetParam();
  std::string type = make[0].substr(5);
  put_root_on("/dev/sda", type);
  GuestDisk plain = ext4_of_the_guest(), disk = disks_.empty("disk.raw", 96);
  make.push_back(disk.path.string());
  must_run(make);
  disks_.lay_out({disk, plain}, "mount @0 " + type +
                                    " /run/new\nmount @1 ext4 /run/old\ncopy-tree /run/old /run/new\n" +
                                    "unmount /run/new\nunmount /run/old\n");
  Answer answer = expect_repaired({disk}, "disk0");
  EXPECT_EQ(type_of(answer, "disk0"), type);
}

INSTANTIATE_TEST_SUITE_P(Of, OldFilesystems,
                         testing::Values(std::vector<std::string>{"mkfs.jfs", "-q"},
                                         std::vector<std::string>{"mkfs.reiserfs", "-q", "-ff"}),
                         [](const auto& make) { return make.param[0] == "mkfs.jfs" ? "Jfs" : "Reiserfs"; });

TEST_F(RealDisks, NtfsIsRecognisedBesideTheRoot) {
  put_root_on("/dev/sda", "ext4");
  GuestDisk data = disks_.empty("data.raw", 16);
  must_run({"mkntfs", "-q", "-Q", "-F", data.path.string()});
  Answer answer = expect_repaired({ext4_of_the_guest(), data}, "disk0");
  EXPECT_EQ(type_of(answer, "disk1"), "ntfs");
}

TEST_F(RealDisks, WindowsOnNtfsIsRefusedByName) {
  GuestDisk disk = disks_.empty("disk.raw", 16);
  must_run({"mkntfs", "-q", "-Q", "-F", disk.path.string()});
  disks_.lay_out({disk}, "mount @0 ntfs /run/new\ndirectory /run/new/Windows\nunmount /run/new\n");
  EXPECT_THAT(error_of_repair({disk}), HasSubstr("is a Windows machine"));
}

TEST_F(RealDisks, OfSeveralRootsAKeyPicksOne) {
  put_root_on("/dev/sdb", "ext4");
  std::vector<GuestDisk> disks = {ext4_of_the_guest("one.raw"), ext4_of_the_guest("two.raw")};
  EXPECT_THAT(error_of_repair(disks), HasSubstr("holds several operating systems: disk0, disk1"));
  guest_.request.root = "disk1";
  EXPECT_EQ(serve(Mode::kRepair, disks).inspection.root_device, "disk1");
}

// --- Journals and damage.

TEST_F(RealDisks, AJournalIsReplayedByARepairAndOnlyByThat) {
  put_root_on("/dev/sda", "ext4");
  GuestDisk disk = ext4_of_the_guest();
  disks_.lay_out({disk},
                 "mount @0 ext4 /run/new\nwrite /run/new/etc/last-words synced before the end\ncut-power\n");
  ASSERT_THAT(must_run({"dumpe2fs", "-h", disk.path.string()}), HasSubstr("needs_recovery"));
  std::string before = sha256(disk.path);
  std::vector<GuestDisk> looked_at, after;
  Answer dry = serve(Mode::kDryRun, {disk}, &looked_at);
  EXPECT_TRUE(dry.success) << dry.error;
  EXPECT_EQ(sha256(looked_at[0].path), before);
  Answer answer = serve(Mode::kRepair, {disk}, &after);
  ASSERT_TRUE(answer.success) << answer.error;
  EXPECT_THAT(answer.warnings, Contains(HasSubstr("its journal was replayed")));
  EXPECT_THAT(must_run({"dumpe2fs", "-h", after[0].path.string()}), Not(HasSubstr("needs_recovery")));
  EXPECT_EQ(must_run({"debugfs", "-R", "cat /etc/last-words", after[0].path.string()}),
            "synced before the end\n");
  EXPECT_EQ(sha256(disk.path), before);
}

TEST_F(RealDisks, AFileSystemThatCrashesTheKernelInsideIsAnErrorAndNoHang) {
  put_root_on("/dev/sda", "ext4");
  // A directory whose checksum is wrong, on a file system that asks for a panic at the first error.
  GuestDisk disk = disks_.ext4("root.raw", guest_.tree.top(), 64, {"-e", "panic"});
  std::string blocks = must_run({"debugfs", "-R", "blocks /etc", disk.path.string()});
  std::uint64_t block = std::stoull(blocks);
  std::uint64_t block_size = 1024;
  std::string superblock = must_run({"dumpe2fs", "-h", disk.path.string()});
  if (superblock.find("Block size:               4096") != std::string::npos) block_size = 4096;
  std::string damage(16, '\x5a');
  os::File file = os::File::open(disk.path, os::File::Mode::kReadWrite);
  file.write_at(block * block_size + 24, std::as_bytes(std::span(damage.data(), damage.size())));
  file.close();
  EXPECT_THAT(error_of_repair({disk}), HasSubstr("Kernel panic"));
}

// --- What is not the repair's to change.

class Untouched : public RealDisks {
 protected:
  static bool same(const FileFacts& a, const FileFacts& b, bool with_time) {
    return a.kind == b.kind && a.mode == b.mode && a.owner == b.owner && a.size == b.size &&
           a.attributes == b.attributes && a.content == b.content && (!with_time || a.time == b.time);
  }
  // Repairs, and holds every file of the guest against what it was.
  void expect_only_what_is_reported(const std::vector<GuestDisk>& disks) {
    guest_.request.mode = Mode::kRepair;
    auto before = disks_.files(guest_.request, disks);
    std::vector<GuestDisk> repaired;
    Answer answer = serve(Mode::kRepair, disks, &repaired);
    ASSERT_TRUE(answer.success) << answer.error;
    auto after = disks_.files(guest_.request, repaired);
    ASSERT_GT(before.size(), 30u);

    std::set<std::string> reported, directories;
    for (const guest::Edit& edit : answer.edits) {
      reported.insert(edit.path);
      for (fs::path parent = fs::path(edit.path).parent_path(); parent != "/"; parent = parent.parent_path())
        directories.insert(parent.string());
    }
    for (const auto& [path, was] : before) {
      auto found = after.find(path);
      if (found == after.end()) {
        EXPECT_TRUE(reported.contains(path)) << path << " is gone";
        continue;
      }
      const FileFacts& is = found->second;
      if (!reported.contains(path)) {
        // A directory in which a file was written has another time.
        EXPECT_TRUE(same(was, is, !directories.contains(path))) << path << " was changed and not reported";
      } else if (was.kind == "file" && is.kind == "file") {
        EXPECT_EQ(is.mode, was.mode) << path;
        EXPECT_EQ(is.owner, was.owner) << path;
        EXPECT_EQ(is.attributes, was.attributes) << path;
        EXPECT_NE(is.content, was.content) << path << " is reported and the same";
      }
    }
    for (const auto& [path, is] : after)
      if (!before.contains(path)) {
        EXPECT_TRUE(reported.contains(path) || (is.kind == "directory" && directories.contains(path)))
            << path << " is new";
      }
    for (const std::string& path : reported)
      EXPECT_TRUE(before.contains(path) || after.contains(path))
          << path << " is reported and was never there";
  }
};

TEST_F(Untouched, AreFilesOfEveryKindWithOwnersLabelsAndTimes) {
  put_root_on("/dev/sda", "ext4");
  guest_.tree.file("/usr/bin/tool", "program", 04755).file("/etc/shadow", "root:!::0:::::\n", 0640);
  ASSERT_EQ(::mkfifo(guest_.tree.path("/etc/fifo").c_str(), 0622), 0);
  GuestDisk disk = ext4_of_the_guest();
  // Owners and labels that only root may give.
  std::string owners =
      "set_inode_field /etc/fstab uid 12\nset_inode_field /etc/fstab gid 34\n"
      "set_inode_field /etc/shadow gid 42\n"
      "ea_set /etc/fstab security.selinux system_u:object_r:etc_t:s0\n"
      "ea_set /etc/fstab user.note kept\n"
      "ea_set /etc/shadow security.selinux system_u:object_r:shadow_t:s0\n"
      "ea_set /boot/grub/grub.cfg security.selinux system_u:object_r:boot_t:s0\n";
  os::write_text_atomically(disks_.path() / "owners", owners);
  must_run({"debugfs", "-w", "-f", (disks_.path() / "owners").string(), disk.path.string()});
  expect_only_what_is_reported({disk});
}

// The same of the guests that boot: thousands of files.
class UntouchedDemo : public Untouched, public testing::WithParamInterface<std::string> {};

TEST_P(UntouchedDemo, AreItsOtherFiles) {
  fs::path folder = generated_guest(GetParam());
  if (folder.empty()) GTEST_SKIP() << kNoGuests;
  expect_only_what_is_reported({{folder / (GetParam() + "-disk1.vmdk"), contract::SourceFormat::kVmdk}});
}

INSTANTIATE_TEST_SUITE_P(Guests, UntouchedDemo, testing::Values("demo", "demo-uefi"),
                         [](const auto& name) { return name.param == "demo" ? "Bios" : "Uefi"; });

// --- Guests that want the repair to fail.

TEST_F(RealDisks, AnFstabOfFourGigabytesIsAnError) {
  put_root_on("/dev/sda", "ext4");
  fs::resize_file(guest_.tree.path("/etc/fstab"), 4ull << 30);
  EXPECT_THAT(error_of_repair({ext4_of_the_guest()}), HasSubstr("/etc/fstab"));
}

TEST_F(RealDisks, AnFstabThatIsAFifoIsAnErrorAndNoHang) {
  put_root_on("/dev/sda", "ext4");
  fs::remove(guest_.tree.path("/etc/fstab"));
  ASSERT_EQ(::mkfifo(guest_.tree.path("/etc/fstab").c_str(), 0644), 0);
  EXPECT_THAT(error_of_repair({ext4_of_the_guest()}), HasSubstr("/etc/fstab"));
}

TEST_F(RealDisks, NamesWithNewlinesAndLinksOutOfTheRootAreOnlyNames) {
  put_root_on("/dev/sda", "ext4");
  guest_.tree.file("/etc/network/interfaces.d/a\n/dev/vda b", "iface ens224 inet dhcp\n")
      .file("/boot/initrd.img-6.1.0-test\nx", "no image")
      .directory("/lib/modules/9.9\n{\"success\":true}")
      .link("/etc/sysctl.d", "../../../../../../init")
      .link("/etc/modprobe.d", "/proc/1/root/etc");
  std::vector<GuestDisk> after;
  Answer answer = serve(Mode::kRepair, {ext4_of_the_guest()}, &after);
  EXPECT_TRUE(answer.success) << answer.error;
  for (const guest::Edit& edit : answer.edits)
    EXPECT_EQ(edit.path.find('\n'), std::string::npos) << edit.path;
}

}  // namespace
}  // namespace hyper2kvm::integration
