// Whole repairs of small guests, and the steps that have no file of their own.
#include "runner/guest/repair/repair.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/guest/system/services.h"
#include "runner/os/process.h"
#include "tests/unit/guest/test_guest.h"

namespace hyper2kvm::guest {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Every path below a tree with what is there, to compare before and after.
std::map<std::string, std::string> contents_of(const Tree& tree) {
  std::map<std::string, std::string> contents;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(tree.top())) {
    std::string name = "/" + entry.path().lexically_relative(tree.top()).string();
    if (entry.is_symlink())
      contents[name] = "link to " + std::filesystem::read_symlink(entry.path()).string();
    else
      contents[name] = entry.is_directory() ? "directory" : tree.read(name);
  }
  return contents;
}

TEST(Repair, MakesADebianFromVmwareBootOnVirtio) {
  TestGuest guest;
  make_debian(guest);
  Outcome outcome = guest.run(run_repair);
  ASSERT_EQ(outcome.error, "");
  EXPECT_THAT(outcome.warnings, IsEmpty());
  EXPECT_THAT(guest.tree.read("/etc/fstab"), HasSubstr("UUID=root-uuid\t/\text4"));
  EXPECT_THAT(guest.tree.read("/boot/grub/grub.cfg"), HasSubstr("root=UUID=root-uuid"));
  EXPECT_EQ(guest.tree.read("/etc/initramfs-tools/modules"),
            "vmw_pvscsi\nvirtio_pci\nvirtio_blk\nvirtio_scsi\nvirtio_net\n");
  EXPECT_FALSE(guest.tree.exists("/etc/systemd/system/multi-user.target.wants/open-vm-tools.service"));
  EXPECT_FALSE(guest.tree.exists("/etc/systemd/system/vmtoolsd.service"));
  EXPECT_TRUE(guest.tree.exists("/usr/bin/vmtoolsd"));
  EXPECT_TRUE(guest.tree.exists("/etc/systemd/network/10-hyper2kvm-ens192.link"));
  const Edit* image = edit_of(outcome.edits, "/boot/initrd.img-6.1.0-test");
  ASSERT_NE(image, nullptr);
  EXPECT_EQ(image->action, "appended");
  ASSERT_EQ(outcome.inspection.kernels.size(), 1u);
  EXPECT_FALSE(outcome.inspection.kernels[0].virtio_ready) << "as it was found";
  EXPECT_TRUE(outcome.inspection.kernels[0].is_default);
  EXPECT_TRUE(outcome.repaired_kernels[0].virtio_ready);
  EXPECT_THAT(outcome.repaired_kernels[0].missing_drivers, IsEmpty());
}

TEST(Repair, OfARepairedGuestChangesNothing) {
  TestGuest guest;
  make_debian(guest);
  ASSERT_EQ(guest.run(run_repair).error, "");
  Outcome second = guest.run(run_repair);
  EXPECT_EQ(second.error, "");
  EXPECT_THAT(second.edits, IsEmpty());
}

TEST(Repair, ChangesOnlyWhatItReports) {
  TestGuest guest;
  make_debian(guest);
  guest.request.fix.backup = true;
  std::map<std::string, std::string> before = contents_of(guest.tree);
  Outcome outcome = guest.run(run_repair);
  ASSERT_EQ(outcome.error, "");
  std::map<std::string, std::string> after = contents_of(guest.tree);
  for (const auto& [path, content] : after) {
    bool changed = !before.contains(path) || before[path] != content;
    EXPECT_TRUE(!changed || outcome.touched(path)) << path;
  }
  for (const auto& [path, content] : before)
    EXPECT_TRUE(after.contains(path) || outcome.touched(path)) << path;
  // And it is what the report says: the diffs lead from what there was to what there is.
  std::size_t applied = 0;
  for (const Edit& edit : outcome.edits) {
    if (edit.diff.empty() || !before.contains(edit.path) || !after.contains(edit.path)) continue;
    Tree scratch;
    scratch.file("/text", before[edit.path]).file("/diff", edit.diff);
    os::run_program({.arguments = {"patch", "--quiet", scratch.path("/text"), scratch.path("/diff")}});
    EXPECT_EQ(scratch.read("/text"), after[edit.path]) << edit.path;
    ++applied;
  }
  EXPECT_GE(applied, 4u);
}

TEST(Repair, ADryRunTellsTheSameEditsAndChangesNothing) {
  TestGuest guest;
  make_debian(guest);
  std::map<std::string, std::string> before = contents_of(guest.tree);
  guest.request.mode = Mode::kDryRun;
  Outcome dry = guest.run(run_repair);
  EXPECT_EQ(contents_of(guest.tree), before);
  guest.request.mode = Mode::kRepair;
  Outcome real = guest.run(run_repair);
  ASSERT_EQ(dry.edits.size(), real.edits.size());
  for (std::size_t index = 0; index < dry.edits.size(); ++index) {
    EXPECT_EQ(dry.edits[index].path, real.edits[index].path);
    EXPECT_EQ(dry.edits[index].action, real.edits[index].action);
    EXPECT_EQ(dry.edits[index].diff, real.edits[index].diff);
    EXPECT_EQ(dry.edits[index].summary, real.edits[index].summary);
  }
}

TEST(Repair, WithoutRegenInitramfsLeavesTheImageAndWarns) {
  TestGuest guest;
  make_debian(guest);
  guest.request.fix.regen_initramfs = false;
  Outcome outcome = guest.run(run_repair);
  EXPECT_EQ(outcome.error, "");
  EXPECT_FALSE(outcome.touched("/boot/initrd.img-6.1.0-test"));
  EXPECT_FALSE(outcome.touched("/etc/initramfs-tools/modules"));
  EXPECT_THAT(outcome.warnings, Contains(HasSubstr("regen_initramfs is off")));
}

TEST(Repair, AKernelWithoutVirtioIsAnErrorThatNamesIt) {
  TestGuest guest;
  make_debian(guest);
  std::filesystem::remove_all(guest.tree.path("/lib/modules"));
  add_modules(guest.tree, "/lib/modules/6.1.0-test",
              only(usual_modules(), {"scsi_common", "scsi_mod", "sd_mod"}));
  std::map<std::string, std::string> before = contents_of(guest.tree);
  Outcome outcome = guest.run(run_repair);
  EXPECT_THAT(outcome.error, HasSubstr("kernel 6.1.0-test has no virtio drivers"));
  EXPECT_EQ(contents_of(guest.tree), before);
}

TEST(Repair, AGuestWithoutAKernelIsAnError) {
  TestGuest guest;
  make_debian(guest);
  std::filesystem::remove(guest.tree.path("/boot/vmlinuz-6.1.0-test"));
  EXPECT_THAT(guest.run(run_repair).error, HasSubstr("no kernel was found"));
}

TEST(Repair, ARootThatNoDiskHasIsAnError) {
  TestGuest guest;
  make_debian(guest);
  guest.tree.file("/boot/grub/grub.cfg",
                  "menuentry 'x' {\n linux /boot/vmlinuz-6.1.0-test root=UUID=elsewhere\n"
                  " initrd /boot/initrd.img-6.1.0-test\n}\n");
  EXPECT_THAT(guest.run(run_repair).error, HasSubstr("root=UUID=elsewhere"));
}

TEST(Repair, ADamagedInitramfsIsAnError) {
  TestGuest guest;
  make_debian(guest);
  std::string image = guest.tree.read("/boot/initrd.img-6.1.0-test");
  guest.tree.file("/boot/initrd.img-6.1.0-test", image.substr(0, image.size() / 2));
  EXPECT_THAT(guest.run(run_repair).error, HasSubstr("initrd.img-6.1.0-test in the guest: is damaged"));
}

TEST(Repair, ADamagedInitramfsOfAnOtherEntryIsAWarning) {
  TestGuest guest;
  make_debian(guest);
  add_modules(guest.tree, "/lib/modules/5.0-old", usual_modules());
  guest.tree.file("/boot/vmlinuz-5.0-old", "k").file("/boot/initrd.img-5.0-old", "nonsense");
  guest.tree.file("/boot/grub/grub.cfg",
                  guest.tree.read("/boot/grub/grub.cfg") +
                      "menuentry 'Old' {\n linux /boot/vmlinuz-5.0-old root=/dev/sda1\n"
                      " initrd /boot/initrd.img-5.0-old\n}\n");
  Outcome outcome = guest.run(run_repair);
  EXPECT_EQ(outcome.error, "");
  EXPECT_THAT(outcome.warnings, Contains(HasSubstr("initrd.img-5.0-old in the guest: is no initramfs")));
  EXPECT_THAT(outcome.warnings, Contains(HasSubstr("Kernel 5.0-old of the boot menu cannot drive virtio")));
}

TEST(HypervisorTools, AreMaskedOnlyWhenTheyAreToBeRemoved) {
  for (bool remove : {false, true}) {
    TestGuest guest;
    make_debian(guest);
    guest.tree.file("/etc/udev/rules.d/99-vmware-scsi-udev.rules", "x\n");
    guest.request.fix.remove_vmware_tools = remove;
    Outcome outcome = guest.run(repair_hypervisor_tools);
    EXPECT_FALSE(guest.tree.exists("/etc/systemd/system/multi-user.target.wants/open-vm-tools.service"));
    EXPECT_EQ(guest.tree.exists("/etc/systemd/system/open-vm-tools.service"), remove);
    EXPECT_EQ(guest.tree.exists("/etc/udev/rules.d/99-vmware-scsi-udev.rules"), !remove);
  }
}

TEST(HypervisorTools, OfSystemVAreSwitchedOffAndStayOff) {
  TestGuest guest;
  guest.tree.file("/etc/vmware-tools/locations", "x")
      .file("/etc/init.d/vmware-tools", "#!/bin/sh\n", 0755)
      .link("/etc/rc2.d/S20vmware-tools", "../init.d/vmware-tools")
      .file("/etc/init/vmware-tools.conf", "start on runlevel 2\n");
  guest.run(repair_hypervisor_tools);
  EXPECT_FALSE(guest.tree.exists("/etc/rc2.d/S20vmware-tools"));
  EXPECT_EQ(std::filesystem::read_symlink(guest.tree.path("/etc/rc2.d/K80vmware-tools")),
            "../init.d/vmware-tools");
  EXPECT_EQ(guest.tree.read("/etc/init/vmware-tools.override"), "manual\n");
}

TEST(HypervisorTools, ForeignDriversAreNotForced) {
  TestGuest guest;
  guest.tree.file("/etc/modules", "# modules\nvmxnet3\nloop\n")
      .file("/etc/modules-load.d/hv.conf", "hv_vmbus\n")
      .file("/etc/modprobe.conf",
            "alias eth0 vmxnet3\nalias scsi_hostadapter mptspi\nalias snd-card-0 snd-ens1371\n")
      .file("/etc/modprobe.d/vmware.conf", "install vmblock /bin/true\noptions loop max_loop=8\n");
  guest.run(repair_hypervisor_tools);
  EXPECT_EQ(guest.tree.read("/etc/modules"), "# modules\n# of the old hypervisor: vmxnet3\nloop\n");
  EXPECT_EQ(guest.tree.read("/etc/modules-load.d/hv.conf"), "# of the old hypervisor: hv_vmbus\n");
  EXPECT_EQ(guest.tree.read("/etc/modprobe.conf"),
            "alias eth0 virtio_net\nalias scsi_hostadapter virtio_blk\nalias snd-card-0 snd-ens1371\n");
  EXPECT_EQ(guest.tree.read("/etc/modprobe.d/vmware.conf"),
            "# of the old hypervisor: install vmblock /bin/true\noptions loop max_loop=8\n");
}

TEST(GuestAgent, IsEnabledWhereItIsInstalled) {
  TestGuest guest;
  make_debian(guest);
  guest.tree.file("/usr/sbin/qemu-ga", "x")
      .file("/usr/lib/systemd/system/qemu-guest-agent.service",
            "[Install]\nWantedBy=dev-virtio\\x2dports-org.qemu.guest_agent.0.device\n");
  guest.run(repair_guest_agent);
  EXPECT_EQ(std::filesystem::read_symlink(guest.tree.path(
                "/etc/systemd/system/dev-virtio\\x2dports-org.qemu.guest_agent.0.device.wants/"
                "qemu-guest-agent.service")),
            "/usr/lib/systemd/system/qemu-guest-agent.service");
}

TEST(Services, AnInstanceOfATemplateIsEnabledByItsName) {
  Tree tree;
  tree.file("/usr/lib/systemd/system/serial-getty@.service", "[Install]\nWantedBy=getty.target\n")
      .directory("/etc/systemd/system");
  GuestRoot root(tree.top());
  EXPECT_TRUE(has_service(root, "serial-getty@ttyS0"));
  enable_service(root, "serial-getty@ttyS0", "Test.");
  root.commit();
  EXPECT_EQ(std::filesystem::read_symlink(
                tree.path("/etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service")),
            "/usr/lib/systemd/system/serial-getty@.service");
  disable_service(root, "serial-getty@ttyS0", "Test.");
}

TEST(Services, ANameWithASlashIsNone) {
  Tree tree;
  GuestRoot root(tree.top());
  EXPECT_FALSE(has_service(root, "../../etc/passwd"));
  enable_service(root, "../x", "Test.");
  EXPECT_THAT(root.edits(), IsEmpty());
}

TestGuest& with_accounts(TestGuest& guest) {
  guest.tree.file("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nada:x:1000:1000:Ada:/home/ada:/bin/bash\n")
      .file("/etc/shadow", "root:*:19000:0:99999:7:::\nada:!:19000:0:99999:7:::\n", 0640)
      .file("/etc/group", "root:x:0:\nada:x:1000:\nwheel:x:10:root\n")
      .file("/bin/bash", "x")
      .directory("/etc/sudoers.d")
      .file("/etc/skel/.profile", "# profile\n");
  return guest;
}

TEST(Configuration, SetsTheHostName) {
  TestGuest guest;
  make_debian(guest);
  guest.tree.file("/etc/hosts",
                  "127.0.0.1 localhost\n127.0.1.1 demo.example.org demo\n10.0.0.9 demo-other\n");
  guest.request.configuration.hostname = "web-1";
  guest.run(apply_configuration);
  EXPECT_EQ(guest.tree.read("/etc/hostname"), "web-1\n");
  EXPECT_EQ(guest.tree.read("/etc/hosts"),
            "127.0.0.1 localhost\n127.0.1.1 web-1.example.org web-1\n10.0.0.9 demo-other\n");
}

TEST(Configuration, AHostNameWithOtherCharactersIsRefused) {
  TestGuest guest;
  make_debian(guest);
  guest.request.configuration.hostname = "web\n1";
  EXPECT_THAT(guest.run(apply_configuration).error, HasSubstr("configuration.hostname"));
}

TEST(Configuration, MakesANewUserWithKeysGroupsAndRights) {
  TestGuest guest;
  with_accounts(guest);
  guest.request.configuration.users = {
      {"grace", "$6$salt$hash", {"ssh-ed25519 AAAA grace"}, {"wheel", "ops"}, true}};
  Outcome outcome = guest.run(apply_configuration);
  ASSERT_EQ(outcome.error, "");
  EXPECT_THAT(guest.tree.read("/etc/passwd"), HasSubstr("\ngrace:x:1001:1001::/home/grace:/bin/bash\n"));
  EXPECT_THAT(guest.tree.read("/etc/shadow"), HasSubstr("\ngrace:$6$salt$hash::0:99999:7:::\n"));
  EXPECT_THAT(guest.tree.read("/etc/group"), HasSubstr("wheel:x:10:root,grace\n"));
  EXPECT_THAT(guest.tree.read("/etc/group"), HasSubstr("ops:x:1002:grace\n"));
  EXPECT_EQ(guest.tree.read("/home/grace/.ssh/authorized_keys"), "ssh-ed25519 AAAA grace\n");
  EXPECT_EQ(guest.tree.read("/home/grace/.profile"), "# profile\n");
  EXPECT_EQ(guest.tree.read("/etc/sudoers.d/90-hyper2kvm-grace"), "grace ALL=(ALL) NOPASSWD:ALL\n");
  struct stat status;
  ASSERT_EQ(::stat(guest.tree.path("/home/grace/.ssh/authorized_keys").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  EXPECT_EQ(status.st_uid, 1001u);
  for (const Edit& edit : outcome.edits) EXPECT_EQ(edit.diff.find("$6$"), std::string::npos) << edit.path;
}

TEST(Configuration, ChangesAUserThatIsThere) {
  TestGuest guest;
  with_accounts(guest);
  guest.tree.file("/home/ada/.ssh/authorized_keys", "ssh-rsa OLD ada");
  guest.request.configuration.users = {
      {"ada", "$6$new", {"ssh-ed25519 NEW ada", "ssh-rsa OLD ada"}, {}, false}};
  guest.run(apply_configuration);
  EXPECT_THAT(guest.tree.read("/etc/shadow"), HasSubstr("\nada:$6$new:19000:"));
  EXPECT_EQ(guest.tree.read("/home/ada/.ssh/authorized_keys"), "ssh-rsa OLD ada\nssh-ed25519 NEW ada\n");
}

TEST(Configuration, RefusesWhatWouldBreakTheFiles) {
  for (contract::GuestUser user : std::vector<contract::GuestUser>{{"a:b", "", {}, {}, false},
                                                                   {"ada", "x:y", {}, {}, false},
                                                                   {"ada", "", {"one\ntwo"}, {}, false},
                                                                   {"ada", "", {}, {"gr\noup"}, false},
                                                                   {"-x", "", {}, {}, false}}) {
    TestGuest guest;
    with_accounts(guest);
    guest.request.configuration.users = {user};
    EXPECT_THAT(guest.run(apply_configuration).error, HasSubstr("configuration.users"));
  }
}

TEST(Configuration, WritesNetworkFilesThatOnlyRootReadsWhereTheyMust) {
  TestGuest guest;
  guest.request.configuration.network_files = {{"/etc/netplan/90-new.yaml", "network: {}\n"},
                                               {"/etc/systemd/network/20-a.network", "[Match]\n"}};
  ASSERT_EQ(guest.run(apply_configuration).error, "");
  struct stat status;
  ASSERT_EQ(::stat(guest.tree.path("/etc/netplan/90-new.yaml").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  EXPECT_EQ(guest.tree.read("/etc/systemd/network/20-a.network"), "[Match]\n");
}

TEST(Configuration, RefusesANetworkFileThatIsNoPath) {
  TestGuest guest;
  guest.request.configuration.network_files = {{"etc/x", ""}};
  EXPECT_THAT(guest.run(apply_configuration).error, HasSubstr("configuration.network"));
}

TEST(Configuration, SaysWhichServicesAreNotThere) {
  TestGuest guest;
  make_debian(guest);
  guest.request.configuration.services = {{"nothere"}, {"open-vm-tools"}};
  Outcome outcome = guest.run(apply_configuration);
  EXPECT_THAT(outcome.warnings, ElementsAre(HasSubstr("no service nothere")));
  EXPECT_FALSE(guest.tree.exists("/etc/systemd/system/multi-user.target.wants/open-vm-tools.service"));
}

}  // namespace
}  // namespace hyper2kvm::guest
