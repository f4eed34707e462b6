// The device that the guest would resume from: on the kernel's command line, in the image, and in what the
// next image is made from.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/guest/initramfs/initramfs.h"
#include "tests/unit/guest/test_guest.h"

namespace hyper2kvm::guest {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TEST(Resume, TheKernelIsNotToldADeviceThatIsNotThere) {
  TestGuest guest;
  make_debian(guest);
  guest.storage.volumes.pop_back();
  guest.tree.file("/etc/default/grub", "GRUB_CMDLINE_LINUX=\"resume=/dev/sda5 console=ttyS0\"\n");
  Outcome outcome = guest.run(repair_boot_loader);
  EXPECT_THAT(guest.tree.read("/boot/grub/grub.cfg"), HasSubstr(" root=UUID=root-uuid ro quiet noresume\n"));
  EXPECT_EQ(guest.tree.read("/etc/default/grub"), "GRUB_CMDLINE_LINUX=\"noresume console=ttyS0\"\n");
  EXPECT_THAT(outcome.warnings, testing::Each(HasSubstr("resume=/dev/sda5 is on none of the machine's disks; "
                                                        "the guest does not wait for it any more.")));
  EXPECT_THAT(outcome.warnings, testing::SizeIs(2));
  EXPECT_THAT(guest.run(repair_boot_loader).edits, IsEmpty());
}

// A volume of a group, and what a UUID names, have the names that they had.
TEST(Resume, AStableNameOnTheCommandLineStays) {
  TestGuest guest;
  make_debian(guest);
  std::string menu = guest.tree.read("/boot/grub/grub.cfg");
  for (const char* device : {"/dev/mapper/vg-swap", "UUID=elsewhere", "/dev/vg/swap"}) {
    std::string other = menu;
    other.replace(other.find("/dev/sda5"), 9, device);
    guest.tree.file("/boot/grub/grub.cfg", other);
    guest.run(repair_boot_loader);
    EXPECT_THAT(guest.tree.read("/boot/grub/grub.cfg"), HasSubstr(std::string(" resume=") + device + "\n"));
  }
}

// A guest whose image needs no drivers, and names a disk of the old machine to resume from.
void resume_from(TestGuest& guest, const std::string& setting) {
  make_debian(guest);
  Tree image;
  add_modules(image, "/lib/modules/6.1.0-test", usual_modules());
  image.file("/conf/initramfs.conf", "MODULES=most\nRESUME=\n")
      .file("/scripts/functions", "")
      .file("/conf/conf.d/resume", setting);
  guest.tree.file("/boot/initrd.img-6.1.0-test", filter({"gzip", "-n", "-c"}, pack(image.top())))
      .file("/etc/initramfs-tools/initramfs.conf", "MODULES=most\nRESUME=\n")
      .file("/etc/initramfs-tools/conf.d/resume", setting);
  std::filesystem::remove(guest.tree.path("/etc/network/interfaces"));
}

std::string resume_in_image(const TestGuest& guest) {
  GuestRoot root(guest.tree.top());
  Initramfs image = read_initramfs(*root.open("/boot/initrd.img-6.1.0-test"));
  const std::string* text = image.text("conf/conf.d/resume");
  return text == nullptr ? "" : *text;
}

TEST(Resume, TheDeviceInTheImageAndInItsSourceIsRenamed) {
  for (const char* setting : {"RESUME=/dev/sda5\n", "RESUME=\"/dev/sda5\"\n",
                              "RESUME=/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:0:0-part5\n"}) {
    TestGuest guest;
    resume_from(guest, setting);
    Outcome outcome = guest.run(run_repair);
    ASSERT_EQ(outcome.error, "");
    EXPECT_EQ(resume_in_image(guest), "RESUME=UUID=swap-uuid\n") << setting;
    EXPECT_EQ(guest.tree.read("/etc/initramfs-tools/conf.d/resume"), "RESUME=UUID=swap-uuid\n") << setting;
    EXPECT_FALSE(outcome.touched("/etc/initramfs-tools/initramfs.conf"));
    EXPECT_FALSE(outcome.touched("/etc/initramfs-tools/modules")) << "the image had the drivers";
    EXPECT_THAT(guest.run(run_repair).edits, IsEmpty());
  }
}

TEST(Resume, TheImageDoesNotWaitForADeviceThatIsNotThere) {
  TestGuest guest;
  resume_from(guest, "# the second disk\nRESUME=/dev/sdb9");
  ASSERT_EQ(guest.run(run_repair).error, "");
  EXPECT_EQ(resume_in_image(guest), "# the second disk\nRESUME=none");
  EXPECT_EQ(guest.tree.read("/etc/initramfs-tools/conf.d/resume"), "# the second disk\nRESUME=none");
}

TEST(Resume, AStableNameInTheImageStays) {
  for (const char* setting :
       {"RESUME=UUID=elsewhere\n", "RESUME=/dev/mapper/vg-swap\n", "RESUME=none\n", "RESUME=auto\n"}) {
    TestGuest guest;
    resume_from(guest, setting);
    Outcome outcome = guest.run(run_repair);
    ASSERT_EQ(outcome.error, "");
    EXPECT_FALSE(outcome.touched("/boot/initrd.img-6.1.0-test")) << setting;
    EXPECT_FALSE(outcome.touched("/etc/initramfs-tools/conf.d/resume")) << setting;
  }
}

TEST(Resume, StaysAsItIsWhenRegenInitramfsIsOff) {
  TestGuest guest;
  resume_from(guest, "RESUME=/dev/sda5\n");
  guest.request.fix.regen_initramfs = false;
  Outcome outcome = guest.run(run_repair);
  EXPECT_FALSE(outcome.touched("/boot/initrd.img-6.1.0-test"));
  EXPECT_FALSE(outcome.touched("/etc/initramfs-tools/conf.d/resume"));
}

// dracut writes the devices of a machine that it knows into the image.
TEST(Resume, CommandLinesThatDracutHasPutIntoTheImageAreRenamed) {
  TestGuest guest;
  make_debian(guest);
  Tree image;
  add_modules(image, "/lib/modules/6.1.0-test", usual_modules());
  image.file("/usr/lib/dracut-lib.sh", "")
      .file("/etc/cmdline.d/95resume.conf", " resume=/dev/sda5 ")
      .file("/etc/cmdline.d/95root-dev.conf", " root=/dev/sda1 rootfstype=ext4 ");
  guest.tree.file("/boot/initrd.img-6.1.0-test", filter({"gzip", "-n", "-c"}, pack(image.top())));
  ASSERT_EQ(guest.run(run_repair).error, "");
  GuestRoot root(guest.tree.top());
  Initramfs now = read_initramfs(*root.open("/boot/initrd.img-6.1.0-test"));
  EXPECT_EQ(*now.text("etc/cmdline.d/95resume.conf"), " resume=UUID=swap-uuid ");
  EXPECT_EQ(*now.text("etc/cmdline.d/95root-dev.conf"), " root=UUID=root-uuid rootfstype=ext4 ");
}

}  // namespace
}  // namespace hyper2kvm::guest
