// A guest on real disks, repaired by the real agent in the real appliance.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "runner/os/error.h"
#include "tests/integration/guest_disks.h"
#include "tests/integration/program.h"
#include "tests/unit/guest/test_guest.h"

namespace hyper2kvm::integration {

inline constexpr const char* kPassphrase = "open-sesame";

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
  // The guest on a file system that this machine's kernel need not know: its files are copied inside. make:
  // mkfs.TYPE and its options.
  GuestDisk made_by(std::vector<std::string> make, unsigned mebibytes) {
    GuestDisk plain = ext4_of_the_guest("plain.raw"), disk = disks_.empty("disk.raw", mebibytes);
    const std::string type = make[0].substr(std::string("mkfs.").size());
    make.push_back(disk.path.string());
    must_run(make);
    disks_.lay_out({disk, plain}, "mount @0 " + type +
                                      " /run/new\nmount @1 ext4 /run/old\ncopy-tree /run/old /run/new\n" +
                                      "unmount /run/new\nunmount /run/old\n");
    return disk;
  }
  void give_key(const std::string& secret = kPassphrase) { guest_.request.keys = {{"", secret}}; }

  guest::Answer serve(guest::Mode mode, const std::vector<GuestDisk>& disks,
                      std::vector<GuestDisk>* after = nullptr) {
    guest_.request.mode = mode;
    return disks_.serve(guest_.request, disks, after);
  }
  // The repair succeeds, does what is meant to be done for every guest, and a second one finds nothing to do.
  guest::Answer expect_repaired(const std::vector<GuestDisk>& disks, const std::string& root_device) {
    std::vector<GuestDisk> after;
    guest::Answer answer = serve(guest::Mode::kRepair, disks, &after);
    EXPECT_TRUE(answer.success) << answer.error;
    EXPECT_EQ(answer.inspection.root_device, root_device);
    std::vector<std::string> paths;
    for (const guest::Edit& edit : answer.edits) paths.push_back(edit.path);
    EXPECT_THAT(paths, testing::Contains(testing::HasSubstr("/boot/initrd.img-6.1.0-test")));
    if (!answer.success) return answer;
    guest::Answer again = serve(guest::Mode::kRepair, after);
    EXPECT_TRUE(again.success) << again.error;
    EXPECT_THAT(again.edits, testing::IsEmpty());
    return answer;
  }
  std::string error_of_repair(const std::vector<GuestDisk>& disks) {
    try {
      guest::Answer answer = serve(guest::Mode::kRepair, disks);
      EXPECT_FALSE(answer.success);
      return answer.error;
    } catch (const os::Error& error) {
      return error.sentence();
    }
  }
  static std::string type_of(const guest::Answer& answer, const std::string& device) {
    for (const guest::Partition& partition : answer.inspection.partitions)
      if (partition.device == device) return partition.type;
    return "";
  }

  guest::TestGuest guest_;
  GuestDisks disks_;
};

}  // namespace hyper2kvm::integration
