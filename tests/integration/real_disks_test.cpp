// The repair on real disks, through the real appliance: each kind of storage, journals and damage.
#include "tests/integration/real_disks.h"

#include <unistd.h>

#include <fstream>
#include <iterator>
#include <set>
#include <thread>

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;
using guest::Answer;
using guest::Mode;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

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

// What everybody on this machine can see of our processes as long as it is looked at, their arguments, and
// what their user can, their environment.
class ProcessList {
 public:
  ProcessList() : watcher_([this](const std::stop_token& stop) { watch(stop); }) {}
  std::string stop() {
    watcher_.request_stop();
    watcher_.join();
    return seen_;
  }

 private:
  // A descendant of the test.
  static bool is_ours(std::string process) {
    const std::string self = std::to_string(::getpid());
    for (int generation = 0; generation < 10; ++generation) {
      std::ifstream status(fs::path("/proc") / process / "status");
      process.clear();
      for (std::string line; process.empty() && std::getline(status, line);)
        if (line.starts_with("PPid:\t")) process = line.substr(6);
      if (process == self) return true;
      if (process.empty() || process == "0") return false;
    }
    return false;
  }
  void watch(const std::stop_token& stop) {
    std::set<std::string> known;
    while (!stop.stop_requested()) {
      std::error_code ignored;
      for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
        if (!is_ours(entry.path().filename())) continue;
        for (const char* file : {"cmdline", "environ"}) {
          std::ifstream stream(entry.path() / file, std::ios::binary);
          std::string text{std::istreambuf_iterator<char>(stream), {}};
          if (!text.empty() && known.insert(text).second) seen_ += text + "\n";
        }
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }
  std::string seen_;
  std::jthread watcher_;
};

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
  ProcessList processes;
  Answer answer = expect_repaired(
      {disk},
      "luks-" + must_run({"blkid", "-p", "-s", "UUID", "-o", "value", disk.path.string()}).substr(0, 36));
  EXPECT_EQ(type_of(answer, "disk0"), "crypto_LUKS");
  const guest::Edit* crypttab = guest::edit_of(answer.edits, "/etc/crypttab");
  ASSERT_NE(crypttab, nullptr);
  EXPECT_THAT(crypttab->diff, HasSubstr("+inner UUID="));
  EXPECT_THAT(disks_.console(), Not(HasSubstr(kPassphrase)));
  std::string seen = processes.stop();
  EXPECT_THAT(seen, HasSubstr("linux.uml"));
  EXPECT_THAT(seen, Not(HasSubstr(kPassphrase)));
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
  guest_.tree.file("/etc/fstab", guest_.tree.read("/etc/fstab") + "/dev/guest-vg/swap none swap sw 0 0\n");
  GuestDisk plain = ext4_of_the_guest(), disk = disks_.empty("disk.raw", 160);
  disks_.lay_out({disk, plain}, std::string(kLvm) + R"(load dm-thin-pool
lvm pvcreate -q @0
lvm vgcreate -q guest-vg @0
lvm lvcreate -q -y --noudevsync -Wn -Zn -L 16M -n swap guest-vg
lvm lvcreate -q -y --noudevsync --type thin-pool -L 100M -n pool guest-vg
lvm lvcreate -q -y --noudevsync --type thin -V 80M --thinpool pool -n root guest-vg
copy-device @1 /dev/mapper/guest--vg-root
lvm vgchange -an --noudevsync guest-vg
)");
  Answer answer = expect_repaired({disk}, "guest-vg/root");
  std::vector<std::string> volumes;
  for (const guest::Partition& partition : answer.inspection.partitions) volumes.push_back(partition.device);
  EXPECT_THAT(volumes, Contains("guest-vg/swap")) << "a plain volume in the same group";
}

TEST_F(RealDisks, ARootOnAMirrorOfLvm) {
  put_root_on("/dev/mapper/guest--vg-root", "ext4");
  GuestDisk plain = ext4_of_the_guest(), first = disks_.empty("first.raw", 100),
            second = disks_.empty("second.raw", 100);
  disks_.lay_out({first, second, plain}, std::string(kLvm) + R"(load dm-mirror
lvm pvcreate -q @0 @1
lvm vgcreate -q guest-vg @0 @1
lvm lvcreate -q -y --noudevsync -Wn -Zn --type mirror -m 1 --mirrorlog core --nosync -L 80M -n root guest-vg
copy-device @2 /dev/mapper/guest--vg-root
lvm vgchange -an --noudevsync guest-vg
)");
  expect_repaired({first, second}, "guest-vg/root");
}

// A snapshot holds what its origin has lost: written to behind LVM's back, the origin would spoil it.
TEST_F(RealDisks, ASnapshotOfTheRootStaysAsItIs) {
  put_root_on("/dev/mapper/guest--vg-root", "ext4");
  GuestDisk plain = ext4_of_the_guest(), disk = disks_.empty("disk.raw", 160);
  disks_.lay_out({disk, plain}, std::string(kLvm) + R"(load dm-snapshot
lvm pvcreate -q @0
lvm vgcreate -q guest-vg @0
lvm lvcreate -q -y --noudevsync -Wn -Zn -L 64M -n root guest-vg
copy-device @1 /dev/mapper/guest--vg-root
lvm lvcreate -q -y --noudevsync -s -L 64M -n before guest-vg/root
lvm vgchange -an --noudevsync guest-vg
)");
  std::vector<GuestDisk> after;
  Answer answer = serve(Mode::kRepair, {disk}, &after);
  ASSERT_TRUE(answer.success) << answer.error;
  EXPECT_EQ(answer.inspection.root_device, "guest-vg/root");
  GuestDisk before = disks_.empty("before.raw", 64);
  disks_.lay_out({after[0], before}, std::string(kLvm) + R"(load dm-snapshot
lvm vgchange -ay --noudevsync guest-vg
copy-device /dev/mapper/guest--vg-before @1
lvm vgchange -an --noudevsync guest-vg
)");
  EXPECT_EQ(sha256(before.path), sha256(plain.path));
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

class OldFilesystems : public RealDisks, public testing::WithParamInterface<std::vector<std::string>> {};

TEST_P(OldFilesystems, HoldARoot) {
  const std::string type = GetParam()[0].substr(std::string("mkfs.").size());
  put_root_on("/dev/sda", type);
  Answer answer = expect_repaired({made_by(GetParam(), 96)}, "disk0");
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

TEST_F(RealDisks, OfSeveralRootsAKeyOfTheManifestPicksOne) {
  put_root_on("/dev/sdb", "ext4");
  std::vector<GuestDisk> disks = {ext4_of_the_guest("one.raw"), ext4_of_the_guest("two.raw")};
  nlohmann::json manifest = manifest_for(disks[0].path);
  manifest["disks"] = nlohmann::json::array();
  for (const GuestDisk& disk : disks)
    manifest["disks"].push_back({{"id", disk.path.stem().string()},
                                 {"source_format", "raw"},
                                 {"bytes", fs::file_size(disk.path)},
                                 {"local_path", disk.path.string()}});
  manifest["options"]["dry_run"] = true;
  auto convert = [&](const nlohmann::json& fix) {
    manifest["pipeline"]["fix"] = fix;
    write_json(disks_.path() / "manifest.json", manifest);
    return run_hyper2kvm({(disks_.path() / "manifest.json").string()});
  };
  Ran unnamed = convert({{"enabled", true}});
  EXPECT_EQ(unnamed.status, 1) << unnamed.out;
  EXPECT_THAT(unnamed.err, HasSubstr("holds several operating systems: disk0, disk1"));
  EXPECT_THAT(unnamed.err, HasSubstr("pipeline.fix.root"));
  Ran named = convert({{"enabled", true}, {"root", "disk1"}});
  EXPECT_EQ(named.status, 0) << named.out << named.err;
  Ran wrong = convert({{"enabled", true}, {"root", "disk7"}});
  EXPECT_EQ(wrong.status, 1) << wrong.out;
  EXPECT_THAT(wrong.err, HasSubstr("has no operating system on disk7"));
}

// --- A guest that sleeps.

TEST_F(RealDisks, AHibernatedGuestIsRefusedWithWhatToDo) {
  put_root_on("/dev/sda", "ext4");
  GuestDisk swap = disks_.empty("swap.raw", 16);
  must_run({"mkswap", swap.path.string()});
  // As the kernel signs a swap area that holds an image of the memory.
  os::File file = os::File::open(swap.path, os::File::Mode::kReadWrite);
  const std::string signature = "S1SUSPEND";
  file.write_at(4096 - 10, std::as_bytes(std::span(signature.data(), signature.size() + 1)));
  file.close();
  std::vector<GuestDisk> disks = {ext4_of_the_guest(), swap};
  std::string before = sha256(swap.path);
  std::string error = error_of_repair(disks);
  EXPECT_THAT(error, HasSubstr("is hibernated (its memory is in disk1)"));
  EXPECT_THAT(error, HasSubstr("Start the source machine, shut it down and export it again."));
  EXPECT_THAT(serve(Mode::kDryRun, disks).error, HasSubstr("is hibernated"));
  EXPECT_TRUE(serve(Mode::kInspect, disks).success);
  EXPECT_EQ(sha256(swap.path), before);
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

}  // namespace
}  // namespace hyper2kvm::integration
