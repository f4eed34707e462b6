// What a repair does to the files of a real disk, and what it leaves as it is.
#include <sys/stat.h>

#include <cstdlib>
#include <map>
#include <set>

#include "runner/os/file.h"
#include "tests/integration/real_disks.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;
using guest::Answer;
using guest::Mode;
using testing::ElementsAre;
using testing::HasSubstr;

// --- What other hypervisors have left.

// The links of units, drivers and programs by which each kind of tools is known.
void install_every_kind_of_tools(guest::Tree& tree) {
  auto unit = [&tree](const std::string& name) {
    std::string file = "/usr/lib/systemd/system/" + name + ".service";
    tree.file(file, "[Unit]\n[Install]\nWantedBy=multi-user.target\n")
        .link("/etc/systemd/system/multi-user.target.wants/" + name + ".service", file);
  };
  auto script = [&tree](const std::string& name) {
    tree.file("/etc/init.d/" + name, "#!/bin/sh\n", 0755).link("/etc/rc3.d/S20" + name, "../init.d/" + name);
  };
  // VMware's own, from its tarball, beside Debian's open-vm-tools.
  tree.file("/usr/bin/vmware-uninstall-tools.pl", "#!/usr/bin/perl\n", 0755)
      .file("/etc/vmware-tools/locations", "answer BINDIR /usr/bin\n")
      .file("/etc/udev/rules.d/99-vmware-scsi-udev.rules", "ACTION==\"add\"\n");
  script("vmware-tools");
  tree.file("/usr/sbin/VBoxService", "program", 0755);
  unit("vboxadd-service");
  tree.file("/usr/sbin/xe-daemon", "program", 0755);
  script("xe-linux-distribution");
  tree.file("/usr/sbin/hv_kvp_daemon", "program", 0755).file("/etc/modules-load.d/hyperv.conf", "hv_vmbus\n");
  unit("hv-kvp-daemon");
  tree.file("/usr/bin/prltoolsd", "program", 0755);
  unit("prltoolsd");
}

class Leftovers : public RealDisks {
 protected:
  // The guest's files after a repair, whose answer is in answer_.
  std::map<std::string, FileFacts> repaired() {
    put_root_on("/dev/sda", "ext4");
    install_every_kind_of_tools(guest_.tree);
    std::vector<GuestDisk> after;
    answer_ = serve(Mode::kRepair, {ext4_of_the_guest()}, &after);
    EXPECT_TRUE(answer_.success) << answer_.error;
    if (!answer_.success) return {};
    return disks_.files(guest_.request, after);
  }
  void expect_disabled(const std::string& path, const std::string& tools) {
    const guest::Edit* edit = guest::edit_of(answer_.edits, path);
    ASSERT_NE(edit, nullptr) << path;
    EXPECT_EQ(edit->action, "disabled") << path;
    EXPECT_EQ(edit->reason, tools + " serves another hypervisor.");
  }

  Answer answer_;
};

TEST_F(Leftovers, AreFoundDisabledAndReported) {
  std::map<std::string, FileFacts> files = repaired();
  EXPECT_THAT(answer_.inspection.hypervisor_tools,
              ElementsAre("open-vm-tools", "vmware-tools", "virtualbox", "xen", "hyper-v", "parallels"));
  const std::string wants = "/etc/systemd/system/multi-user.target.wants/";
  for (const auto& [path, tools] :
       std::map<std::string, std::string>{{wants + "open-vm-tools.service", "open-vm-tools"},
                                          {"/etc/systemd/system/vmtoolsd.service", "open-vm-tools"},
                                          {"/etc/rc3.d/S20vmware-tools", "vmware-tools"},
                                          {wants + "vboxadd-service.service", "virtualbox"},
                                          {"/etc/rc3.d/S20xe-linux-distribution", "xen"},
                                          {wants + "hv-kvp-daemon.service", "hyper-v"},
                                          {wants + "prltoolsd.service", "parallels"}}) {
    EXPECT_FALSE(files.contains(path)) << path;
    expect_disabled(path, tools);
  }
  // A script that was switched off by hand stays off.
  EXPECT_EQ(files["/etc/rc3.d/K80vmware-tools"].content, "../init.d/vmware-tools");
  EXPECT_THAT(guest::edit_of(answer_.edits, "/etc/modules-load.d/hyperv.conf")->diff,
              HasSubstr("+# of the old hypervisor: hv_vmbus"));
  // The admin takes them out, with what they came from.
  for (const char* path :
       {"/usr/bin/vmtoolsd", "/usr/bin/vmware-uninstall-tools.pl", "/etc/init.d/vmware-tools",
        "/usr/sbin/VBoxService", "/usr/sbin/xe-daemon", "/usr/sbin/hv_kvp_daemon", "/usr/bin/prltoolsd",
        "/etc/udev/rules.d/99-vmware-scsi-udev.rules"})
    EXPECT_TRUE(files.contains(path)) << path;
  EXPECT_FALSE(files.contains("/etc/systemd/system/open-vm-tools.service"));
}

TEST_F(Leftovers, OfVmwareAreMaskedWhereTheyAreToBeRemoved) {
  guest_.request.fix.remove_vmware_tools = true;
  std::map<std::string, FileFacts> files = repaired();
  EXPECT_EQ(files["/etc/systemd/system/open-vm-tools.service"].content, "/dev/null");
  EXPECT_FALSE(files.contains("/etc/udev/rules.d/99-vmware-scsi-udev.rules"));
  EXPECT_NE(guest::edit_of(answer_.edits, "/etc/udev/rules.d/99-vmware-scsi-udev.rules"), nullptr);
  EXPECT_FALSE(files.contains("/etc/systemd/system/prltoolsd.service"));
}

// --- What was deleted does not travel.

class Trim : public RealDisks {
 protected:
  static constexpr std::size_t kSecretSize = 16u << 20;

  // A guest from which a file was deleted, whose content is still on the disk.
  GuestDisk with_a_deleted_file() {
    put_root_on("/dev/sda", "ext4");
    std::string secret;
    while (secret.size() < kSecretSize) secret += kSecret;
    guest_.tree.file("/srv/secret", secret);
    GuestDisk disk = disks_.ext4("root.raw", guest_.tree.top(), 96, {"-b", "4096"});
    must_run({"debugfs", "-w", "-R", "rm /srv/secret", disk.path.string()});
    EXPECT_GE(secrets_in(disk.path), kSecretSize / sizeof kSecret);
    return disk;
  }
  static std::size_t secrets_in(const fs::path& file) {
    std::string bytes = os::read_text(file, 256u << 20);
    std::size_t count = 0;
    for (std::size_t at = bytes.find(kSecret); at != std::string::npos; at = bytes.find(kSecret, at + 1))
      ++count;
    return count;
  }
  static std::uint64_t allocated(const fs::path& file) {
    struct stat status {};
    EXPECT_EQ(::stat(file.c_str(), &status), 0);
    return static_cast<std::uint64_t>(status.st_blocks) * 512;
  }
  fs::path convert(const GuestDisk& disk, bool repair, const std::string& output) {
    nlohmann::json manifest = manifest_for(disk.path);
    manifest["pipeline"]["fix"] = {{"enabled", repair}};
    manifest["output"]["directory"] = (disks_.path() / output).string();
    fs::path file = disks_.path() / (output + ".json");
    write_json(file, manifest);
    Ran ran = run_hyper2kvm({file.string()});
    EXPECT_EQ(ran.status, 0) << ran.out << ran.err;
    return disks_.path() / output / "disk-0.qcow2";
  }

  static constexpr char kSecret[] = "what was deleted in the guest does not travel\n";
};

TEST_F(Trim, ADeletedFileIsNotInTheOutput) {
  GuestDisk disk = with_a_deleted_file();
  fs::path copied = convert(disk, /*repair=*/false, "copied");
  ASSERT_GE(secrets_in(copied), kSecretSize / sizeof kSecret);
  fs::path repaired = convert(disk, /*repair=*/true, "repaired");
  // The file's first and last cluster may hold what is still in use.
  EXPECT_LE(secrets_in(repaired), 2 * 65536 / sizeof kSecret);
  EXPECT_LE(allocated(repaired) + kSecretSize, allocated(copied) + (1u << 20));
}

// --- What is not the repair's to change.

class Untouched : public RealDisks {
 protected:
  static bool same(const FileFacts& a, const FileFacts& b, bool with_time) {
    return a.kind == b.kind && a.mode == b.mode && a.owner == b.owner && a.size == b.size &&
           a.attributes == b.attributes && a.content == b.content && (!with_time || a.time == b.time);
  }
  static std::vector<std::string> lines_of(const std::vector<guest::Edit>& edits) {
    std::vector<std::string> lines;
    for (const guest::Edit& edit : edits)
      lines.push_back(edit.action + " " + edit.path + ": " + edit.reason + " " + edit.summary + "\n" +
                      edit.diff);
    return lines;
  }
  // Repairs as a dry run has said, and holds every file of the guest against what it was.
  void expect_only_what_is_reported(const std::vector<GuestDisk>& disks) {
    Answer rehearsal = serve(Mode::kDryRun, disks);
    guest_.request.mode = Mode::kRepair;
    auto before = disks_.files(guest_.request, disks);
    std::vector<GuestDisk> repaired;
    Answer answer = serve(Mode::kRepair, disks, &repaired);
    ASSERT_TRUE(answer.success) << answer.error;
    auto after = disks_.files(guest_.request, repaired);
    ASSERT_GT(before.size(), 30u);
    EXPECT_EQ(lines_of(answer.edits), lines_of(rehearsal.edits));

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

// Where Red Hat's and SUSE's labels are.
class UntouchedOn : public Untouched, public testing::WithParamInterface<std::string> {};

TEST_P(UntouchedOn, AreLabels) {
  const std::string& type = GetParam();
  put_root_on("/dev/sda", type);
  guest_.tree.file("/usr/bin/tool", "program", 04755).file("/etc/shadow", "root:!::0:::::\n", 0640);
  GuestDisk plain = ext4_of_the_guest("plain.raw"), disk = disks_.empty("disk.raw", 320);
  must_run({"mkfs." + type, "-q", disk.path.string()});
  std::string commands =
      "mount @0 " + type + " /run/new\nmount @1 ext4 /run/old\ncopy-tree /run/old /run/new\n";
  for (const auto& [path, kind] :
       std::map<std::string, std::string>{{"/etc/fstab", "etc_t"},
                                          {"/etc/shadow", "shadow_t"},
                                          {"/boot/grub/grub.cfg", "boot_t"},
                                          {"/boot/initrd.img-6.1.0-test", "boot_t"},
                                          {"/usr/bin/tool", "bin_t"}})
    commands += "label /run/new" + path + " security.selinux system_u:object_r:" + kind + ":s0\n";
  disks_.lay_out({disk, plain}, commands + "unmount /run/new\nunmount /run/old\n");
  EXPECT_THAT(disks_.files(guest_.request, {disk})["/etc/fstab"].attributes,
              HasSubstr("security.selinux=system_u:object_r:etc_t:s0"));
  expect_only_what_is_reported({disk});
}

INSTANTIATE_TEST_SUITE_P(FileSystem, UntouchedOn, testing::Values("xfs", "btrfs"),
                         [](const auto& type) { return type.param; });

// The same of the guests that boot: thousands of files.
struct BootedGuest {
  std::string name;
  std::vector<std::string> disks = {"disk1.raw"};
  bool encrypted = false;
};
void PrintTo(const BootedGuest& guest, std::ostream* out) { *out << guest.name; }

class UntouchedGuest : public Untouched, public testing::WithParamInterface<BootedGuest> {
 protected:
  void expect_only_what_is_reported_in(const fs::path& folder) {
    std::vector<GuestDisk> disks;
    for (const std::string& name : GetParam().disks) {
      bool vmdk = name.ends_with(".vmdk");
      ASSERT_TRUE(fs::exists(folder / name)) << folder / name;
      disks.push_back({folder / name, vmdk ? contract::SourceFormat::kVmdk : contract::SourceFormat::kRaw});
    }
    guest_.request.disk_count = disks.size();
    if (GetParam().encrypted) give_key("open-sesame");
    expect_only_what_is_reported(disks);
  }
};

// "luks-on-lvm" is LuksOnLvm.
std::string guest_name(const testing::TestParamInfo<BootedGuest>& guest) {
  std::string name;
  bool capital = true;
  for (char c : guest.param.name) {
    if (c != '-') name += capital && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    capital = c == '-';
  }
  return name;
}

TEST_P(UntouchedGuest, AreItsOtherFiles) {
  fs::path folder = generated_guest(GetParam().name);
  if (folder.empty()) GTEST_SKIP() << kNoGuests;
  expect_only_what_is_reported_in(folder);
}

INSTANTIATE_TEST_SUITE_P(EveryRun, UntouchedGuest,
                         testing::Values(BootedGuest{"demo", {"demo-disk1.vmdk"}},
                                         BootedGuest{"demo-uefi", {"demo-uefi-disk1.vmdk"}},
                                         BootedGuest{"lvm", {"disk1.raw", "disk2.raw"}}),
                         guest_name);

class UntouchedLayout : public UntouchedGuest {};

TEST_P(UntouchedLayout, AreItsOtherFiles) {
  const char* campaign = std::getenv("HYPER2KVM_TEST_CAMPAIGN");
  if (campaign == nullptr || *campaign == '\0')
    GTEST_SKIP() << "HYPER2KVM_TEST_CAMPAIGN does not say where the guests are";
  expect_only_what_is_reported_in(fs::path(campaign) / GetParam().name);
}

INSTANTIATE_TEST_SUITE_P(Campaign, UntouchedLayout,
                         testing::Values(BootedGuest{"btrfs"}, BootedGuest{"dracut"}, BootedGuest{"extlinux"},
                                         BootedGuest{"grub-legacy"}, BootedGuest{"luks", {"disk1.raw"}, true},
                                         BootedGuest{"luks-on-lvm", {"disk1.raw"}, true},
                                         BootedGuest{"raid1", {"disk1.raw", "disk2.raw"}},
                                         BootedGuest{"thin"}),
                         guest_name);

}  // namespace
}  // namespace hyper2kvm::integration
