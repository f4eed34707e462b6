#include "runner/cli/inspect_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "runner/cli/edits_text.h"

namespace hyper2kvm::cli {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(InspectText, ShowsEverythingThatWasFound) {
  EXPECT_EQ(inspect_text(json::parse(R"json({
    "input": "/exports/web01.ova",
    "source": {"vm_name": "web01", "provider": "vsphere"},
    "vm": {"cpu": 2, "mem_gb": 4, "firmware": "bios", "secureboot": false},
    "nics": [{"id": "eth0", "mac": "00:50:56:ab:cd:ef", "network": "VM Network"}],
    "disks": [{"id": "disk-0", "format": "vmdk", "virtual_size_bytes": 8589934592, "file_size_bytes": 1288490189,
               "files": ["/exports/web01.ova"], "boots": true}],
    "guest": {"os_type": "linux", "distribution": "debian", "version": "12", "pretty_name": "Debian GNU/Linux 12 (bookworm)",
              "hostname": "web01", "architecture": "x86_64", "firmware": "bios", "root_device": "disk0p1",
              "roots": ["disk0p1"], "boot_loader": "grub2", "initramfs_generator": "initramfs-tools",
              "init_system": "systemd", "network_systems": ["ifupdown"], "hypervisor_tools": ["open-vm-tools"],
              "package_manager": "apt", "selinux": false, "guest_agent": false,
              "partitions": [{"device": "disk0p1", "offset": 1048576, "size": 8588886016, "type": "ext4", "label": "",
                              "uuid": "1111-2222", "part_uuid": "", "mount_point": "/"}],
              "kernels": [{"version": "6.1.0-18-amd64", "image": "/boot/vmlinuz", "initramfs": "/boot/initrd",
                           "is_default": true, "virtio_ready": false, "missing_drivers": ["virtio_blk", "virtio_pci"]}]},
    "edits": [{"path": "/etc/fstab", "action": "changed", "reason": "Device names change.",
               "diff": "-/dev/sda1 / ext4\n+UUID=1111-2222 / ext4\n", "summary": ""}],
    "warnings": ["qemu-guest-agent is not installed."]
})json")),
            R"(/exports/web01.ova

Machine
  name:           web01 from vsphere
  hardware:       2 CPUs, 4 GiB memory, firmware bios
  interface:      eth0 00:50:56:ab:cd:ef on VM Network

Disks
  disk-0  vmdk  8.0 GiB in a file of 1.2 GiB  boots

Guest
  system:         Debian GNU/Linux 12 (bookworm), x86_64, boots by bios
  host name:      web01
  root:           disk0p1
  boot loader:    grub2
  initramfs:      initramfs-tools
  init:           systemd
  network:        ifupdown
  foreign tools:  open-vm-tools
  packages:       apt
  guest agent:    not installed
  file systems
    disk0p1  ext4  8.0 GiB  /  UUID 1111-2222
  kernels
    6.1.0-18-amd64  boots by default  lacks virtio (virtio_blk, virtio_pci)

A repair would change
  changed /etc/fstab
      Device names change.
      -/dev/sda1 / ext4
      +UUID=1111-2222 / ext4

Warnings
  qemu-guest-agent is not installed.
)");
}

TEST(InspectText, SaysWhyAGuestCannotBeOpened) {
  std::string text = inspect_text(json::parse(
      R"({"input": "a.vmdk", "disks": [], "guest": null, "problem": "disk-0: no operating system was found.", "warnings": []})"));
  EXPECT_THAT(
      text, HasSubstr("The guest cannot be opened or repaired\n  disk-0: no operating system was found.\n"));
  EXPECT_THAT(text, Not(HasSubstr("Guest\n")));
  EXPECT_THAT(text, Not(HasSubstr("Warnings")));
  EXPECT_THAT(text, Not(HasSubstr("A repair")));
}

TEST(InspectText, SaysWhenNothingWouldChange) {
  EXPECT_THAT(inspect_text(json::parse(R"({"input": "a", "disks": [], "guest": {}, "edits": []})")),
              HasSubstr("A repair would change nothing\n"));
}

TEST(InspectText, AGuestCannotWriteToTheTerminal) {
  std::string text = inspect_text(
      {{"input", "a\x1b[2J"},
       {"disks", json::array({{{"id", "d\x1b"}}})},
       {"guest",
        {{"pretty_name", "\x1b]0;x\x07"},
         {"hostname", "h\nGuest agent: installed"},
         {"network_systems", {"\x1b[31m"}},
         {"kernels", json::array({{{"version", "6\x1b"}, {"missing_drivers", {"\x07"}}}})},
         {"partitions", json::array({{{"device", "\x1b"}}})}}},
       {"edits", json::array({{{"path", "/a\x1b"}, {"diff", "+\x1b[1m\r\n"}, {"reason", "\x07"}}})},
       {"warnings", {"w\x1b"}}});
  for (char c : text) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20) << int{c};
}

TEST(InspectText, StandsValuesOfOtherTypes) {
  EXPECT_NO_THROW(inspect_text(json::parse(
      R"({"input": 5, "source": [], "vm": "x", "nics": {}, "disks": [1], "guest": {"roots": "x", "kernels": [5], "partitions": {}},
          "edits": [null], "warnings": [5]})")));
  EXPECT_NO_THROW(inspect_text(json::array()));
}

TEST(EditsText, KeepsTheTabsOfADiff) {
  EXPECT_THAT(
      edits_text(json::array({{{"path", "/a"}, {"action", "changed"}, {"diff", "-\tx\ty\x1b\n+\t\n"}}})),
      HasSubstr("      -\tx\ty \n      +\t\n"));
}

TEST(EditsText, ShowsTheSummaryOfWhatIsNoText) {
  EXPECT_EQ(
      edits_text(json::parse(
          R"([{"path": "/boot/initrd.img", "action": "appended", "reason": "No virtio.", "diff": "", "summary": "2.1 MiB"}])")),
      "  appended /boot/initrd.img\n      No virtio.\n      2.1 MiB\n");
}

}  // namespace
}  // namespace hyper2kvm::cli
