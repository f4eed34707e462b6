#include "runner/guest/system/fstab.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/guest/test_guest.h"

namespace hyper2kvm::guest {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(Fstab, IsWrittenBackAsItWasRead) {
  for (const std::string text : {"", "\n\n", "# only a comment", "/dev/sda1 / ext4 defaults 0 1\n",
                                 "a b c\r\n\td  e # f\n", "last line without newline"})
    EXPECT_EQ(Table::parse(text).text(), text);
}

TEST(Fstab, EscapesAreUndoneAndDoneAgain) {
  Table table = Table::parse("/dev/sda1 /mnt/my\\040disk ext4 defaults 0 0\n");
  EXPECT_EQ(table.lines[0].field(kFstabMountPoint), "/mnt/my disk");
  table.lines[0].set_field(kFstabMountPoint, "/mnt/new\tdisk");
  EXPECT_EQ(table.text(), "/dev/sda1 /mnt/new\\011disk ext4 defaults 0 0\n");
}

struct Line {
  const char* name;
  std::string before, after;
};

class FstabLine : public testing::TestWithParam<Line> {};

TEST_P(FstabLine, BecomesStable) {
  TestGuest guest;
  guest.storage.volumes.push_back(volume(1, 1, "xfs", "data-uuid"));
  guest.storage.volumes.push_back(volume(2, 0, "ext4", "whole-uuid"));
  guest.tree.file("/etc/fstab", GetParam().before);
  Outcome outcome = guest.run(repair_fstab);
  EXPECT_EQ(outcome.error, "");
  EXPECT_EQ(guest.tree.read("/etc/fstab"), GetParam().after);
}

INSTANTIATE_TEST_SUITE_P(
    Fstab, FstabLine,
    testing::Values(
        Line{"Sd", "/dev/sda1 / ext4 defaults 0 1\n", "UUID=root-uuid / ext4 defaults 0 1\n"},
        Line{"KeepsBlanks", "/dev/sda1\t /  ext4\tx 0  1", "UUID=root-uuid\t /  ext4\tx 0  1"},
        Line{"SecondDisk", "/dev/sdb1 /data xfs defaults 0 0\n", "UUID=data-uuid /data xfs defaults 0 0\n"},
        Line{"WholeDisk", "/dev/sdc /srv ext4 defaults 0 0\n", "UUID=whole-uuid /srv ext4 defaults 0 0\n"},
        Line{"Hd", "/dev/hda5 swap swap defaults 0 0\n", "UUID=swap-uuid swap swap defaults 0 0\n"},
        Line{"Xvd", "/dev/xvda1 / ext4 defaults 0 1\n", "UUID=root-uuid / ext4 defaults 0 1\n"},
        Line{"Nvme", "/dev/nvme0n1p1 / ext4 defaults 0 1\n", "UUID=root-uuid / ext4 defaults 0 1\n"},
        Line{"NvmeSecondNamespace", "/dev/nvme0n2p1 /data xfs defaults 0 1\n",
             "UUID=data-uuid /data xfs defaults 0 1\n"},
        Line{"Cciss", "/dev/cciss/c0d1p1 /data xfs defaults 0 1\n",
             "UUID=data-uuid /data xfs defaults 0 1\n"},
        Line{"Ext3EntryOfAnExt4", "/dev/sda1 / ext3 defaults 0 1\n", "UUID=root-uuid / ext3 defaults 0 1\n"},
        Line{"Auto", "/dev/sda1 / auto defaults 0 1\n", "UUID=root-uuid / auto defaults 0 1\n"},
        Line{"ByPath", "/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:1:0-part1 /data xfs defaults 0 1\n",
             "UUID=data-uuid /data xfs defaults 0 1\n"},
        Line{"ByPathAta", "/dev/disk/by-path/pci-0000:02:05.0-ata-1-part5 none swap sw 0 0\n",
             "UUID=swap-uuid none swap sw 0 0\n"},
        Line{"ById", "/dev/disk/by-id/scsi-36000c29e5d7c2c0a-part5 none swap sw 0 0\n",
             "UUID=swap-uuid none swap sw 0 0\n"},
        Line{"MovedDisk", "/dev/sdd1 /data xfs defaults 0 0\n", "UUID=data-uuid /data xfs defaults 0 0\n"},
        Line{"UuidStays", "UUID=1234 / ext4 defaults 0 1\n", "UUID=1234 / ext4 defaults 0 1\n"},
        Line{"LvmStays", "/dev/mapper/vg-root / ext4 defaults 0 1\n",
             "/dev/mapper/vg-root / ext4 defaults 0 1\n"},
        Line{"GroupPathStays", "/dev/vg/root / ext4 defaults 0 1\n", "/dev/vg/root / ext4 defaults 0 1\n"},
        Line{"TmpfsStays", "tmpfs /tmp tmpfs defaults 0 0\n", "tmpfs /tmp tmpfs defaults 0 0\n"},
        Line{"NfsStays", "server:/export /mnt nfs defaults 0 0\n", "server:/export /mnt nfs defaults 0 0\n"},
        Line{"CdromStays", "/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0\n",
             "/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0\n"},
        Line{"FloppyStays", "/dev/fd0 /media/floppy auto rw,user,noauto 0 0\n",
             "/dev/fd0 /media/floppy auto rw,user,noauto 0 0\n"},
        Line{"SharedFolder", ".host:/ /mnt/hgfs fuse.vmhgfs-fuse defaults 0 0\n",
             "# a shared folder of the old hypervisor: .host:/ /mnt/hgfs fuse.vmhgfs-fuse defaults 0 0\n"}),
    [](const auto& line) { return std::string(line.param.name); });

TEST(Fstab, AnAmbiguousNameStaysAndIsTold) {
  TestGuest guest;
  guest.storage.volumes.push_back(volume(1, 1, "ext4", "other-uuid"));
  guest.tree.file("/etc/fstab", "/dev/sdf1 /data ext4 defaults 0 0\n");
  Outcome outcome = guest.run(repair_fstab);
  EXPECT_EQ(guest.tree.read("/etc/fstab"), "/dev/sdf1 /data ext4 defaults 0 0\n");
  EXPECT_THAT(outcome.warnings, ElementsAre(HasSubstr("/dev/sdf1 (/data)")));
}

TEST(Fstab, ADeviceThatIsGoneButNotAwaitedIsNoWarning) {
  TestGuest guest;
  guest.tree.file("/etc/fstab",
                  "/dev/sdb7 /data reiserfs defaults,nofail 0 0\n/dev/sdb8 /x jfs noauto 0 0\n");
  EXPECT_THAT(guest.run(repair_fstab).warnings, IsEmpty());
}

TEST(Fstab, ModeNoopChangesNothing) {
  TestGuest guest;
  make_debian(guest);
  guest.tree.file("/etc/crypttab", "data /dev/sda1 none luks\n");
  guest.request.fix.fstab_mode = contract::FstabMode::kNoop;
  EXPECT_THAT(guest.run(repair_fstab).edits, IsEmpty());
}

TEST(Fstab, ModeBypathOnlyChangesOnlyPaths) {
  TestGuest guest;
  guest.tree.file("/etc/fstab",
                  "/dev/sda1 / ext4 defaults 0 1\n/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:0:0-part5 none "
                  "swap sw 0 0\n");
  guest.request.fix.fstab_mode = contract::FstabMode::kBypathOnly;
  guest.run(repair_fstab);
  EXPECT_EQ(guest.tree.read("/etc/fstab"),
            "/dev/sda1 / ext4 defaults 0 1\nUUID=swap-uuid none swap sw 0 0\n");
}

TEST(Fstab, CrypttabIsStabilisedToo) {
  TestGuest guest;
  guest.storage.volumes.push_back(volume(0, 3, "crypto_LUKS", "luks-uuid"));
  guest.tree.file("/etc/fstab", "")
      .file("/etc/crypttab", "# name device key options\ndata /dev/sda3 none luks\n");
  guest.run(repair_fstab);
  EXPECT_EQ(guest.tree.read("/etc/crypttab"), "# name device key options\ndata UUID=luks-uuid none luks\n");
}

TEST(Fstab, IsPrintedBeforeAndAfterWhenAsked) {
  TestGuest guest;
  make_debian(guest);
  guest.request.fix.print_fstab = true;
  Outcome outcome = guest.run(repair_fstab);
  EXPECT_THAT(outcome.printed["fstab before"], HasSubstr("/dev/sda1\t/"));
  EXPECT_THAT(outcome.printed["fstab after"], HasSubstr("UUID=root-uuid\t/"));
}

TEST(Fstab, AFifoInItsPlaceIsAnError) {
  TestGuest guest;
  guest.tree.directory("/etc");
  ASSERT_EQ(::mkfifo(guest.tree.path("/etc/fstab").c_str(), 0600), 0);
  EXPECT_THAT(guest.run(repair_fstab).error, HasSubstr("/etc/fstab in the guest: is no regular file"));
}

}  // namespace
}  // namespace hyper2kvm::guest
