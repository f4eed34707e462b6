// What a repair says about the guest's next start: each thing it needs, and what that came to.
#include <gmock/gmock.h>

#include <filesystem>

#include "tests/unit/guest/test_guest.h"

namespace hyper2kvm::guest {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// "name subject: yes|no detail"
std::string line_of(const contract::BootFact& fact) {
  return fact.name + " " + fact.subject + ": " + (fact.holds ? "yes" : "no") + " " + fact.detail;
}

std::vector<std::string> facts_of(const Outcome& outcome, const std::string& name = "") {
  std::vector<std::string> lines;
  for (const contract::BootFact& fact : outcome.boot_facts)
    if (name.empty() || fact.name == name) lines.push_back(line_of(fact));
  return lines;
}

class BootFacts : public testing::Test {
 protected:
  BootFacts() { make_debian(guest_); }
  Outcome repair() { return guest_.run(run_repair); }
  Outcome repair_with_fstab(const std::string& lines) {
    guest_.tree.file("/etc/fstab", "/dev/sda1 / ext4 defaults 0 1\n" + lines);
    return repair();
  }
  TestGuest guest_;
};

TEST_F(BootFacts, OfARepairedDebianAllHold) {
  EXPECT_THAT(
      facts_of(repair()),
      ElementsAre("boot_loader grub2: yes Debian GNU/Linux", "root UUID=root-uuid: yes disk0p1 (ext4)",
                  "virtio 6.1.0-test: yes virtio_pci and virtio_blk are built in or in the initramfs",
                  "kernel /boot/vmlinuz-6.1.0-test: yes 6.1.0-test",
                  HasSubstr("initramfs /boot/initrd.img-6.1.0-test: yes "),
                  "fstab UUID=root-uuid (/): yes disk0p1 (ext4)",
                  "fstab UUID=swap-uuid (swap): yes disk0p5 (swap)"));
}

TEST_F(BootFacts, AreTheSameWhereThereIsNothingToRepair) {
  std::vector<std::string> first = facts_of(repair());
  Outcome again = repair();
  EXPECT_THAT(again.edits, IsEmpty());
  EXPECT_EQ(facts_of(again), first);
}

TEST_F(BootFacts, ALineOfFstabThatNoDiskAnswersToIsAWarning) {
  Outcome outcome = repair_with_fstab("UUID=gone /srv xfs defaults 0 2\n");
  EXPECT_EQ(outcome.error, "");
  EXPECT_THAT(facts_of(outcome, "fstab"),
              Contains("fstab UUID=gone (/srv): no on none of the machine's disks"));
  EXPECT_THAT(outcome.warnings, Contains(HasSubstr("UUID=gone (/srv) is on none of the machine's disks")));
}

TEST_F(BootFacts, APathThatNoDiskAnswersToIsAWarningToo) {
  Outcome outcome = repair_with_fstab(
      "/dev/sdb3 /data xfs defaults 0 2\n/dev/vg/data /vg ext4 defaults 0 2\n"
      "/dev/mapper/vg-more /more ext4 defaults 0 2\nPARTLABEL=gone /part ext4 defaults 0 2\n");
  for (const char* name :
       {"/dev/sdb3 (/data)", "/dev/vg/data (/vg)", "/dev/mapper/vg-more (/more)", "PARTLABEL=gone (/part)"}) {
    EXPECT_THAT(facts_of(outcome, "fstab"),
                Contains(std::string("fstab ") + name + ": no on none of the machine's disks"));
    EXPECT_THAT(outcome.warnings, Contains(HasSubstr(name)));
  }
}

TEST_F(BootFacts, WhatTheStartDoesNotWaitForIsLeftOut) {
  Outcome outcome = repair_with_fstab(
      "UUID=a /a ext4 noauto 0 0\nUUID=b /b ext4 defaults,nofail 0 0\n"
      "UUID=c /c ext4 x-systemd.automount 0 0\nserver:/export /d nfs _netdev 0 0\ntmpfs /tmp tmpfs size=1G 0 "
      "0\n"
      "//server/share /e cifs defaults 0 0\n/var/swapfile none swap sw 0 0\n/srv/a /srv/b none bind 0 0\n");
  EXPECT_THAT(facts_of(outcome, "fstab"), ElementsAre("fstab UUID=root-uuid (/): yes disk0p1 (ext4)"));
  EXPECT_THAT(outcome.warnings, Not(Contains(HasSubstr("/etc/fstab"))));
}

TEST_F(BootFacts, ANameThatDependsOnTheAttachmentDoesNotHold) {
  guest_.request.fix.fstab_mode = contract::FstabMode::kNoop;
  Outcome outcome = repair();
  EXPECT_THAT(facts_of(outcome, "fstab"),
              Contains("fstab /dev/sda1 (/): no disk0p1 (ext4), by a name that depends on how the disk is "
                       "attached"));
  EXPECT_THAT(outcome.warnings, Contains(HasSubstr("/dev/sda1 (/) is named by how its disk is attached")));
}

TEST_F(BootFacts, CrypttabIsLookedUpAndWhatIsMadeFromItIsThere) {
  guest_.storage.volumes.push_back(volume(0, 6, "crypto_LUKS", "luks-uuid"));
  guest_.tree.file("/etc/crypttab",
                   "# name device key options\nsecret UUID=luks-uuid none luks\nlost UUID=gone none luks\n"
                   "later UUID=gone2 none luks,noauto\n");
  Outcome outcome = repair_with_fstab("/dev/mapper/secret /secret ext4 defaults 0 2\n");
  EXPECT_EQ(outcome.error, "");
  EXPECT_THAT(facts_of(outcome, "crypttab"),
              ElementsAre("crypttab UUID=luks-uuid (secret): yes disk0p6 (crypto_LUKS)",
                          "crypttab UUID=gone (lost): no on none of the machine's disks"));
  EXPECT_THAT(facts_of(outcome, "fstab"),
              Contains("fstab /dev/mapper/secret (/secret): yes made from /etc/crypttab"));
  EXPECT_THAT(outcome.warnings, Contains(HasSubstr("/etc/crypttab: UUID=gone (lost)")));
}

TEST_F(BootFacts, AnInitramfsThatIsNoFileIsNamedInTheError) {
  std::filesystem::remove(guest_.tree.path("/boot/initrd.img-6.1.0-test"));
  guest_.tree.directory("/boot/initrd.img-6.1.0-test");
  Outcome outcome = repair();
  EXPECT_THAT(outcome.error, HasSubstr("needs /boot/initrd.img-6.1.0-test, which is"));
  EXPECT_THAT(
      facts_of(outcome, "initramfs"),
      ElementsAre("initramfs /boot/initrd.img-6.1.0-test: no is not in the guest, or no regular file"));
}

TEST_F(BootFacts, AnInitramfsThatIsNotThereIsNamedInTheError) {
  std::filesystem::remove(guest_.tree.path("/boot/initrd.img-6.1.0-test"));
  EXPECT_THAT(repair().error, HasSubstr("needs /boot/initrd.img-6.1.0-test, which is"));
}

TEST_F(BootFacts, AreListedOfARepairThatFailsForOneOfThem) {
  guest_.tree.file("/boot/grub/grub.cfg",
                   "menuentry 'x' {\n linux /boot/vmlinuz-6.1.0-test root=UUID=elsewhere\n"
                   " initrd /boot/initrd.img-6.1.0-test\n}\n");
  Outcome outcome = repair();
  EXPECT_THAT(outcome.error, HasSubstr("root=UUID=elsewhere"));
  EXPECT_THAT(facts_of(outcome, "root"),
              ElementsAre("root UUID=elsewhere: no on none of the machine's disks"));
  EXPECT_THAT(facts_of(outcome, "fstab"), Not(IsEmpty()));
}

TEST_F(BootFacts, AKernelWithoutVirtioSaysWhatItLacks) {
  std::filesystem::remove_all(guest_.tree.path("/lib/modules"));
  add_modules(guest_.tree, "/lib/modules/6.1.0-test",
              only(usual_modules(), {"scsi_common", "scsi_mod", "sd_mod"}));
  Outcome outcome = repair();
  EXPECT_THAT(outcome.error, HasSubstr("no virtio drivers"));
  EXPECT_THAT(facts_of(outcome, "virtio"), ElementsAre(HasSubstr(": no lacks virtio_pci")));
}

TEST_F(BootFacts, AnEmptyKernelIsAnErrorThatNamesIt) {
  guest_.tree.file("/boot/vmlinuz-6.1.0-test", "");
  Outcome outcome = repair();
  EXPECT_THAT(outcome.error, HasSubstr("/boot/vmlinuz-6.1.0-test"));
  EXPECT_THAT(facts_of(outcome, "kernel"), ElementsAre(HasSubstr(": no ")));
}

TEST_F(BootFacts, AFstabOfAnyLengthGivesAReportThatCanBeRead) {
  std::string lines;
  for (int i = 0; i < 5000; ++i)
    lines += "UUID=gone-" + std::to_string(i) + " /srv/" + std::to_string(i) + " ext4 defaults 0 2\n";
  EXPECT_EQ(repair_with_fstab(lines).boot_facts.size(), 200u);
}

}  // namespace
}  // namespace hyper2kvm::guest
