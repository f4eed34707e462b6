#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/guest/boot/boot_menu.h"
#include "runner/guest/boot/grub_environment.h"
#include "tests/unit/guest/test_guest.h"

namespace hyper2kvm::guest {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

BootMenu menu_of(const Tree& tree) {
  GuestRoot root(tree.top());
  return read_boot_menu(root);
}

TEST(RenameDevices, ChangesOnlyTheMeantParameters) {
  auto rename = [](std::string_view, std::string_view device) {
    return device == "/dev/sda1" ? std::string("UUID=x") : std::string();
  };
  EXPECT_EQ(rename_devices("linux /vmlinuz root=/dev/sda1 ro", rename), "linux /vmlinuz root=UUID=x ro");
  EXPECT_EQ(rename_devices("root=/dev/sda1", rename), "root=UUID=x");
  EXPECT_EQ(rename_devices("GRUB_CMDLINE_LINUX=\"root=/dev/sda1 resume=/dev/sda1\"", rename),
            "GRUB_CMDLINE_LINUX=\"root=UUID=x resume=UUID=x\"");
  EXPECT_EQ(rename_devices("nfsroot=/dev/sda1 chroot=/dev/sda1", rename),
            "nfsroot=/dev/sda1 chroot=/dev/sda1");
  EXPECT_EQ(rename_devices("root=/dev/sda10 root=/dev/sda1", rename), "root=/dev/sda10 root=UUID=x");
  EXPECT_EQ(rename_devices("kopt=root=/dev/sda1 ro", rename), "kopt=root=UUID=x ro");
}

TEST(RenameDevices, NoResumeTakesThePlaceOfTheWholeParameter) {
  auto rename = [](std::string_view, std::string_view) { return std::string(kNoResume); };
  EXPECT_EQ(rename_devices("quiet resume=/dev/sdb9 splash", rename), "quiet noresume splash");
  EXPECT_EQ(rename_devices("A=\"resume=/dev/sdb9\"", rename), "A=\"noresume\"");
  EXPECT_EQ(rename_devices("resume=/dev/sda9 resume=/dev/sdb9", rename), "noresume noresume");
}

TEST(BootLoader, RenamesRootAndResumeInGrub2) {
  TestGuest guest;
  make_debian(guest);
  Outcome outcome = guest.run(repair_boot_loader);
  EXPECT_EQ(outcome.error, "");
  EXPECT_THAT(
      guest.tree.read("/boot/grub/grub.cfg"),
      HasSubstr("linux\t/boot/vmlinuz-6.1.0-test root=UUID=root-uuid ro quiet resume=UUID=swap-uuid\n"));
  EXPECT_THAT(guest.tree.read("/boot/grub/grub.cfg"), HasSubstr("set root='hd0,msdos1'"));
  EXPECT_THAT(guest.tree.read("/etc/default/grub"), HasSubstr("GRUB_DISABLE_LINUX_UUID=false"));
}

TEST(BootLoader, StaysAsItIsWhenUpdateGrubIsOff) {
  TestGuest guest;
  make_debian(guest);
  guest.tree.file("/boot/grub/device.map", "(hd0)\t/dev/sda\n");
  guest.request.fix.update_grub = false;
  EXPECT_THAT(guest.run(repair_boot_loader).edits, IsEmpty());
}

TEST(BootLoader, TheDeviceMapNamesVirtioDisks) {
  TestGuest guest;
  make_debian(guest);
  guest.tree.file("/boot/grub/device.map",
                  "(hd0)\t/dev/disk/by-id/scsi-36000c29\n(hd1) /dev/sdb\n(fd0)\t/dev/fd0\n");
  guest.run(repair_boot_loader);
  EXPECT_EQ(guest.tree.read("/boot/grub/device.map"), "(hd0)\t/dev/vda\n(hd1)\t/dev/vdb\n(fd0)\t/dev/fd0\n");
}

TEST(BootLoader, AKernelWithoutInitramfsGetsAPartitionsUuid) {
  TestGuest guest;
  make_debian(guest);
  guest.tree.file("/boot/grub/grub.cfg",
                  "menuentry 'x' {\n linux /boot/vmlinuz-6.1.0-test root=/dev/sda1 ro\n}\n");
  guest.run(repair_boot_loader);
  EXPECT_THAT(guest.tree.read("/boot/grub/grub.cfg"), HasSubstr("root=PARTUUID=cafe-0-1 ro"));
}

TEST(Grub2, FindsTheDefaultByNumberIdTitleAndSavedEntry) {
  const std::string entries =
      "menuentry 'One' --id one {\n linux /boot/vmlinuz-1 root=UUID=a\n initrd /boot/initrd-1\n}\n"
      "submenu 'More' --id more {\n menuentry 'Two' --id two {\n  linux /boot/vmlinuz-2\n }\n"
      " menuentry 'Three' --id three {\n  linux /boot/vmlinuz-3\n }\n}\n";
  struct Case {
    std::string set, saved, kernel;
  };
  for (const Case& one : std::vector<Case>{{"set default=\"0\"", "", "/boot/vmlinuz-1"},
                                           {"set default=\"1>1\"", "", "/boot/vmlinuz-3"},
                                           {"set default=two", "", "/boot/vmlinuz-2"},
                                           {"set default=\"More>Two\"", "", "/boot/vmlinuz-2"},
                                           {"set default=\"more>three\"", "", "/boot/vmlinuz-3"},
                                           {"set default=\"${saved_entry}\"", "three", "/boot/vmlinuz-3"},
                                           {"set default=nonsense", "", "/boot/vmlinuz-1"},
                                           {"", "", "/boot/vmlinuz-1"}}) {
    Tree tree;
    for (const char* number : {"1", "2", "3"}) tree.file(std::string("/boot/vmlinuz-") + number, "k");
    tree.file("/boot/initrd-1", "i").file("/boot/grub/grub.cfg", one.set + "\n" + entries);
    if (!one.saved.empty())
      tree.file("/boot/grub/grubenv", "# GRUB Environment Block\nsaved_entry=" + one.saved + "\n####");
    BootMenu menu = menu_of(tree);
    ASSERT_EQ(menu.entries.size(), 3u);
    ASSERT_NE(menu.default_entry(), nullptr) << one.set;
    EXPECT_EQ(menu.default_entry()->kernel, one.kernel) << one.set << one.saved;
  }
}

TEST(Grub2, ReadsLoaderEntriesWithTheirVariables) {
  Tree tree;
  tree.file("/boot/vmlinuz-5.14.0-1.el9.x86_64", "k")
      .file("/boot/vmlinuz-5.14.0-70.el9.x86_64", "k")
      .file("/boot/initramfs-5.14.0-70.el9.x86_64.img", "i")
      .file("/boot/grub2/grub.cfg",
            "if [ \"${next_entry}\" ] ; then\n set default=\"${next_entry}\"\nelse\n set "
            "default=\"${saved_entry}\"\nfi\n"
            "insmod blscfg\nblscfg\n")
      .file("/boot/grub2/grubenv",
            "# GRUB Environment Block\nsaved_entry=abc-5.14.0-70.el9.x86_64\nkernelopts=root=UUID=r ro "
            "quiet\n###")
      .file("/boot/loader/entries/abc-5.14.0-1.el9.x86_64.conf",
            "title Old\nlinux /vmlinuz-5.14.0-1.el9.x86_64\noptions $kernelopts\n")
      .file("/boot/loader/entries/abc-5.14.0-70.el9.x86_64.conf",
            "title New\nversion 5.14.0-70.el9.x86_64\nlinux /vmlinuz-5.14.0-70.el9.x86_64\n"
            "initrd /initramfs-5.14.0-70.el9.x86_64.img $tuned_initrd\noptions $kernelopts $tuned_params\n");
  BootMenu menu = menu_of(tree);
  ASSERT_EQ(menu.entries.size(), 2u);
  EXPECT_EQ(menu.entries[0].id, "abc-5.14.0-70.el9.x86_64");
  EXPECT_EQ(menu.default_entry()->kernel, "/boot/vmlinuz-5.14.0-70.el9.x86_64");
  EXPECT_THAT(menu.default_entry()->initramfs, ElementsAre("/boot/initramfs-5.14.0-70.el9.x86_64.img"));
  EXPECT_THAT(menu.default_entry()->options, HasSubstr("root=UUID=r ro quiet"));
}

TEST(Grub2, FindsFilesBelowASubvolume) {
  Tree tree;
  tree.file("/boot/vmlinuz-1", "k")
      .file("/boot/initrd-1", "i")
      .file("/boot/grub/grub.cfg",
            "menuentry 'One' {\n linux /@/boot/vmlinuz-1 root=UUID=a rootflags=subvol=@\n initrd "
            "/@/boot/initrd-1\n}\n");
  EXPECT_EQ(menu_of(tree).default_entry()->kernel, "/boot/vmlinuz-1");
}

TEST(GrubLegacy, ReadsItsMenu) {
  Tree tree;
  tree.file("/boot/vmlinuz-2.6.32", "k")
      .file("/boot/initramfs-2.6.32.img", "i")
      .file("/boot/vmlinuz-2.6.18", "k")
      .file("/boot/grub/menu.lst",
            "default=1\ntimeout 5\n#hiddenmenu\ntitle Old\n\troot (hd0,0)\n\tkernel /vmlinuz-2.6.18 ro "
            "root=/dev/sda1\n"
            "title CentOS\n\troot (hd0,0)\n\tkernel /vmlinuz-2.6.32 ro root=/dev/sda1 quiet\n\tinitrd "
            "/initramfs-2.6.32.img\n");
  BootMenu menu = menu_of(tree);
  EXPECT_EQ(menu.loader, "grub-legacy");
  ASSERT_NE(menu.default_entry(), nullptr);
  EXPECT_EQ(menu.default_entry()->kernel, "/boot/vmlinuz-2.6.32");
  EXPECT_EQ(menu.default_entry()->options, "ro root=/dev/sda1 quiet");
  EXPECT_THAT(menu.default_entry()->initramfs, ElementsAre("/boot/initramfs-2.6.32.img"));
}

TEST(Extlinux, ReadsItsMenu) {
  Tree tree;
  tree.file("/boot/vmlinuz-lts", "k")
      .file("/boot/initramfs-lts", "i")
      .file(
          "/boot/extlinux.conf",
          "DEFAULT menu.c32\nPROMPT 0\nLABEL virt\n  MENU DEFAULT\n  MENU LABEL Linux lts\n  LINUX "
          "vmlinuz-lts\n"
          "  INITRD initramfs-lts\n  APPEND root=UUID=x modules=ext4 quiet\nLABEL other\n  LINUX nothere\n");
  BootMenu menu = menu_of(tree);
  EXPECT_EQ(menu.loader, "extlinux");
  ASSERT_EQ(menu.entries.size(), 1u);
  EXPECT_EQ(menu.default_entry()->title, "Linux lts");
  EXPECT_THAT(menu.default_entry()->initramfs, ElementsAre("/boot/initramfs-lts"));
}

TEST(Extlinux, ReadsSyslinuxsOwnFileWithTheInitramfsAmongTheOptions) {
  Tree tree;
  tree.file("/boot/vmlinuz-linux", "k")
      .file("/boot/initramfs-linux.img", "i")
      .file("/boot/initramfs-linux-fallback.img", "i")
      .file(
          "/boot/syslinux/syslinux.cfg",
          "DEFAULT arch\nPROMPT 0\nTIMEOUT 50\nUI menu.c32\n\nLABEL archfallback\n    MENU LABEL Arch Linux "
          "Fallback\n    LINUX ../vmlinuz-linux\n    APPEND root=/dev/sda3 rw\n"
          "    INITRD ../initramfs-linux-fallback.img\n\nLABEL arch\n    KERNEL ../vmlinuz-linux\n"
          "    APPEND initrd=../initramfs-linux.img root=/dev/sda3 rw\n");
  BootMenu menu = menu_of(tree);
  EXPECT_EQ(menu.loader, "extlinux");
  EXPECT_EQ(menu.entries.size(), 2u);
  ASSERT_NE(menu.default_entry(), nullptr);
  EXPECT_EQ(menu.default_entry()->id, "arch");
  EXPECT_EQ(menu.default_entry()->kernel, "/boot/vmlinuz-linux");
  EXPECT_THAT(menu.default_entry()->initramfs, ElementsAre("/boot/initramfs-linux.img"));
}

TEST(Extlinux, LooksBesideItsFileFirstAndAnEmptyNameIsNone) {
  Tree tree;
  tree.file("/boot/syslinux/vmlinuz", "k")
      .file("/boot/vmlinuz", "another")
      .file("/boot/initrd.img", "i")
      .file("/boot/syslinux/syslinux.cfg",
            "LABEL x\n  LINUX vmlinuz\n  INITRD initrd.img\n  APPEND initrd= root=/dev/sda1\n");
  BootMenu menu = menu_of(tree);
  ASSERT_EQ(menu.entries.size(), 1u);
  EXPECT_EQ(menu.entries[0].kernel, "/boot/syslinux/vmlinuz");
  EXPECT_THAT(menu.entries[0].initramfs, ElementsAre("/boot/initrd.img"));
  EXPECT_THAT(menu.entries[0].unusable, IsEmpty());
}

TEST(SystemdBoot, ReadsItsMenu) {
  Tree tree;
  tree.file("/boot/vmlinuz-linux", "k")
      .file("/boot/initramfs-linux.img", "i")
      .file("/boot/intel-ucode.img", "u")
      .file("/boot/loader/loader.conf", "timeout 3\ndefault arch*\n")
      .file("/boot/loader/entries/zz-other.conf", "title Other\nlinux /vmlinuz-linux\n")
      .file("/boot/loader/entries/arch.conf",
            "title Arch\nlinux /vmlinuz-linux\ninitrd /intel-ucode.img\ninitrd /initramfs-linux.img\noptions "
            "root=PARTUUID=x rw\n");
  BootMenu menu = menu_of(tree);
  EXPECT_EQ(menu.loader, "systemd-boot");
  EXPECT_EQ(menu.default_entry()->id, "arch");
  EXPECT_THAT(menu.default_entry()->initramfs,
              ElementsAre("/boot/intel-ucode.img", "/boot/initramfs-linux.img"));
}

// bootctl's way where the ESP is too small for kernels: the loader and its settings on the ESP, the entries
// and what they start on a partition of their own.
TEST(SystemdBoot, FindsItsEntriesOnAnExtendedBootLoaderPartition) {
  Tree tree;
  tree.file("/efi/loader/loader.conf", "timeout 0\ndefault debian-6.1.0-1*\n")
      .file("/efi/EFI/systemd/systemd-bootx64.efi", "loader")
      .file("/boot/debian/6.1.0-1/linux", "k")
      .file("/boot/debian/6.1.0-1/initrd.img-6.1.0-1", "i")
      .file("/boot/loader/entries/debian-6.1.0-2.conf", "linux /debian/6.1.0-1/linux\n")
      .file(
          "/boot/loader/entries/debian-6.1.0-1.conf",
          "linux /debian/6.1.0-1/linux\ninitrd /debian/6.1.0-1/initrd.img-6.1.0-1\noptions root=/dev/sda3\n");
  BootMenu menu = menu_of(tree);
  EXPECT_EQ(menu.loader, "systemd-boot");
  ASSERT_EQ(menu.entries.size(), 2u);
  EXPECT_EQ(menu.default_entry()->id, "debian-6.1.0-1");
  EXPECT_THAT(menu.default_entry()->initramfs, ElementsAre("/boot/debian/6.1.0-1/initrd.img-6.1.0-1"));
  EXPECT_EQ(menu.files.size(), 2u);
}

TEST(SystemdBoot, IsNotThereWhereOnlyEntriesAre) {
  Tree tree;
  tree.file("/boot/vmlinuz", "k").file("/boot/loader/entries/a.conf", "linux /vmlinuz\n");
  EXPECT_EQ(menu_of(tree).loader, "");
}

// What each loader is told to load and what is no file.
TEST(BootLoader, AnImageThatIsNoFileIsRemembered) {
  for (auto [file, text] : std::initializer_list<std::pair<const char*, const char*>>{
           {"/boot/grub/grub.cfg",
            "menuentry x {\n linux /vmlinuz root=x\n initrd /cpu.img /initrd.img $none\n}\n"},
           {"/boot/grub/menu.lst", "title x\nroot (hd0,0)\nkernel /vmlinuz root=x\ninitrd /initrd.img\n"},
           {"/boot/extlinux/extlinux.conf", "LABEL x\nLINUX ../vmlinuz\nINITRD ../initrd.img\n"},
           {"/boot/loader/loader.conf", "default x\n"}}) {
    Tree tree;
    tree.file("/boot/vmlinuz", "k").directory("/boot/initrd.img").file(file, text);
    if (std::string(file).ends_with("loader.conf"))
      tree.file("/boot/loader/entries/x.conf", "linux /vmlinuz\ninitrd /initrd.img\noptions root=x\n");
    BootMenu menu = menu_of(tree);
    ASSERT_NE(menu.default_entry(), nullptr) << file;
    EXPECT_THAT(menu.default_entry()->initramfs, IsEmpty()) << file;
    EXPECT_THAT(menu.default_entry()->unusable, testing::Contains("/boot/initrd.img")) << file;
    EXPECT_THAT(menu.default_entry()->unusable, testing::Not(testing::Contains(HasSubstr("none")))) << file;
  }
}

TEST(BootLoader, TheEnvironmentBlockKeepsItsSize) {
  TestGuest guest;
  make_debian(guest);
  std::string block =
      "# GRUB Environment Block\nsaved_entry=a\nkernelopts=root=/dev/sda1 ro resume=/dev/sda5 quiet\n";
  block.resize(1024, '#');
  guest.tree.file("/boot/grub/grubenv", block);
  guest.run(repair_boot_loader);
  std::string after = guest.tree.read("/boot/grub/grubenv");
  EXPECT_EQ(after.size(), 1024u);
  EXPECT_THAT(
      after,
      HasSubstr("\nsaved_entry=a\nkernelopts=root=UUID=root-uuid ro resume=UUID=swap-uuid quiet\n###"));
}

TEST(GrubEnvironment, WhatDoesNotFitIsNotWritten) {
  std::string block = "# GRUB Environment Block\na=b\n";
  block.resize(1024, '#');
  auto same = [](std::string_view, std::string_view value) { return std::string(value); };
  EXPECT_EQ(edit_grub_environment(block, same), block);
  EXPECT_EQ(edit_grub_environment(block, same, {{"a", std::string(1000, 'x')}}), std::nullopt);
  EXPECT_EQ(edit_grub_environment("something else", same), std::nullopt);
}

// A menu of two kernels, the first of which has no virtio drivers at all.
void make_two_kernels(TestGuest& guest) {
  make_debian(guest);
  guest.tree.file("/boot/vmlinuz-5.0-old", "k").file("/boot/initrd.img-5.0-old", vmware_image("5.0-old"));
  add_modules(guest.tree, "/lib/modules/5.0-old",
              only(usual_modules(), {"scsi_common", "scsi_mod", "sd_mod"}));
}

TEST(DefaultKernel, BecomesOneThatDrivesVirtioInGrub2) {
  TestGuest guest;
  make_two_kernels(guest);
  std::string block = "# GRUB Environment Block\nsaved_entry=0\n";
  block.resize(1024, '#');
  guest.tree.file("/boot/grub/grubenv", block)
      .file("/boot/grub/grub.cfg",
            "if x; then\n   set default=\"${next_entry}\"\nelse\n   set default=\"0\"\nfi\n"
            "menuentry 'Old' {\n linux /boot/vmlinuz-5.0-old root=/dev/sda1\n initrd "
            "/boot/initrd.img-5.0-old\n}\n"
            "submenu 'More' {\nmenuentry 'New' {\n linux /boot/vmlinuz-6.1.0-test root=/dev/sda1\n"
            " initrd /boot/initrd.img-6.1.0-test\n}\n}\n");
  Outcome outcome = guest.run(run_repair);
  EXPECT_EQ(outcome.error, "");
  EXPECT_THAT(guest.tree.read("/boot/grub/grub.cfg"), HasSubstr("   set default=\"1>0\"\n"));
  EXPECT_THAT(guest.tree.read("/boot/grub/grub.cfg"), HasSubstr("   set default=\"${next_entry}\"\n"));
  EXPECT_THAT(guest.tree.read("/boot/grub/grubenv"), HasSubstr("saved_entry=1>0\n"));
  EXPECT_EQ(menu_of(guest.tree).default_entry()->kernel, "/boot/vmlinuz-6.1.0-test");
}

TEST(DefaultKernel, BecomesOneThatDrivesVirtioInTheSmallLoaders) {
  {
    TestGuest guest;
    make_two_kernels(guest);
    std::filesystem::remove(guest.tree.path("/boot/grub/grub.cfg"));
    guest.tree.file(
        "/boot/grub/menu.lst",
        "default=0\ntitle Old\n kernel /boot/vmlinuz-5.0-old root=/dev/sda1\n initrd "
        "/boot/initrd.img-5.0-old\n"
        "title New\n kernel /boot/vmlinuz-6.1.0-test root=/dev/sda1\n initrd /boot/initrd.img-6.1.0-test\n");
    EXPECT_EQ(guest.run(run_repair).error, "");
    EXPECT_EQ(menu_of(guest.tree).default_entry()->kernel, "/boot/vmlinuz-6.1.0-test");
  }
  {
    TestGuest guest;
    make_two_kernels(guest);
    std::filesystem::remove(guest.tree.path("/boot/grub/grub.cfg"));
    guest.tree.file(
        "/boot/extlinux.conf",
        "DEFAULT old\nLABEL old\n LINUX vmlinuz-5.0-old\n INITRD initrd.img-5.0-old\n APPEND root=/dev/sda1\n"
        "LABEL new\n LINUX vmlinuz-6.1.0-test\n INITRD initrd.img-6.1.0-test\n APPEND root=/dev/sda1\n");
    EXPECT_EQ(guest.run(run_repair).error, "");
    EXPECT_EQ(menu_of(guest.tree).default_entry()->kernel, "/boot/vmlinuz-6.1.0-test");
    EXPECT_THAT(guest.tree.read("/boot/extlinux.conf"), HasSubstr("APPEND root=UUID=root-uuid\n"));
  }
  {
    TestGuest guest;
    make_two_kernels(guest);
    std::filesystem::remove(guest.tree.path("/boot/grub/grub.cfg"));
    guest.tree.file("/boot/loader/loader.conf", "default old\ntimeout 3\n")
        .file("/boot/loader/entries/old.conf",
              "title Old\nlinux /vmlinuz-5.0-old\ninitrd /initrd.img-5.0-old\noptions root=/dev/sda1\n")
        .file("/boot/loader/entries/new.conf",
              "title New\nlinux /vmlinuz-6.1.0-test\ninitrd /initrd.img-6.1.0-test\noptions root=/dev/sda1 "
              "rw\n");
    EXPECT_EQ(guest.run(run_repair).error, "");
    EXPECT_EQ(guest.tree.read("/boot/loader/loader.conf"), "timeout 3\ndefault new.conf\n");
    EXPECT_THAT(guest.tree.read("/boot/loader/entries/new.conf"),
                HasSubstr("options root=UUID=root-uuid rw\n"));
  }
}

struct Loader {
  const char* name;
  std::vector<const char*> files;
  std::vector<std::pair<const char*, const char*>> copies;  // of the first, to the second
};

class FirmwarePath : public testing::TestWithParam<Loader> {};

TEST_P(FirmwarePath, HoldsTheGuestsLoader) {
  TestGuest guest;
  for (const char* file : GetParam().files) guest.tree.file(file, std::string("loader ") + file);
  guest.run([](Repair& repair) {
    repair.inspection.firmware = "uefi";
    repair.inspection.architecture = "x86_64";
    repair_firmware_path(repair);
  });
  for (const auto& [from, to] : GetParam().copies)
    EXPECT_EQ(guest.tree.read(to), std::string("loader ") + from);
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(guest.tree.top()))
    count += entry.is_regular_file();
  EXPECT_EQ(count, GetParam().files.size() + GetParam().copies.size());
}

INSTANTIATE_TEST_SUITE_P(
    BootLoader, FirmwarePath,
    testing::Values(Loader{"DebianWithShim",
                           {"/boot/efi/EFI/debian/shimx64.efi", "/boot/efi/EFI/debian/grubx64.efi",
                            "/boot/efi/EFI/debian/mmx64.efi", "/boot/efi/EFI/debian/grub.cfg"},
                           {{"/boot/efi/EFI/debian/shimx64.efi", "/boot/efi/EFI/BOOT/BOOTX64.EFI"},
                            {"/boot/efi/EFI/debian/grubx64.efi", "/boot/efi/EFI/BOOT/grubx64.efi"},
                            {"/boot/efi/EFI/debian/mmx64.efi", "/boot/efi/EFI/BOOT/mmx64.efi"}}},
                    Loader{"WithoutShim",
                           {"/boot/efi/EFI/debian/grubx64.efi"},
                           {{"/boot/efi/EFI/debian/grubx64.efi", "/boot/efi/EFI/BOOT/BOOTX64.EFI"}}},
                    Loader{"SystemdBoot",
                           {"/efi/EFI/systemd/systemd-bootx64.efi"},
                           {{"/efi/EFI/systemd/systemd-bootx64.efi", "/efi/EFI/BOOT/BOOTX64.EFI"}}},
                    Loader{"AlreadyThereInAnotherCase",
                           {"/boot/efi/efi/boot/bootx64.efi", "/boot/efi/efi/debian/grubx64.efi"},
                           {}}),
    [](const auto& loader) { return std::string(loader.param.name); });

TEST(BootLoader, AHostileMenuIsOnlyText) {
  Tree tree;
  std::string deep;
  for (int level = 0; level < 20000; ++level) deep += "submenu x {\n";
  tree.file("/boot/grub/grub.cfg",
            deep + "menuentry 'a' {\n linux ../../../../etc/passwd\n linux $\n initrd ${\n}\n}}}}\n");
  EXPECT_THAT(menu_of(tree).entries, IsEmpty());
}

}  // namespace
}  // namespace hyper2kvm::guest
