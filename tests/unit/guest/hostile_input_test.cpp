// Every parser of a guest's bytes, fed thousands of damaged variants of good input: each is read or refused
// with an os::Error, within bounds (the sanitizer builds watch them). The damage is random with a fixed
// start, so that a failure can be repeated.
#include <gtest/gtest.h>

#include <random>

#include "runner/guest/boot/boot_menu.h"
#include "runner/guest/boot/grub_environment.h"
#include "runner/guest/initramfs/initramfs.h"
#include "runner/guest/initramfs/module_index.h"
#include "runner/guest/network/configured_interfaces.h"
#include "runner/guest/storage/device_name.h"
#include "runner/guest/storage/lvm_metadata.h"
#include "runner/guest/storage/signature.h"
#include "runner/guest/system/fstab.h"
#include "runner/guest/system/identity.h"
#include "runner/guest/text_diff.h"
#include "tests/unit/guest/test_guest.h"

namespace hyper2kvm::guest {
namespace {

class Damage {
 public:
  explicit Damage(unsigned start) : random_(start) {}

  std::string operator()(std::string text) {
    for (unsigned count = 1 + random_() % 4; count > 0; --count) {
      if (text.empty()) return text;
      std::size_t at = random_() % text.size();
      switch (random_() % 6) {
        case 0:
          text[at] = static_cast<char>(random_());
          break;
        case 1:
          text.erase(at, 1 + random_() % 16);
          break;
        case 2:
          text.insert(at, text.substr(random_() % text.size(), random_() % 64));
          break;
        case 3:
          text.resize(at);
          break;
        case 4:
          text.insert(at, std::string(random_() % 300, "\0\xff {}[]\"'$\\/=:\n"[random_() % 16]));
          break;
        case 5:
          text[at] = static_cast<char>(text[at] ^ (1 << random_() % 8));
          break;
      }
    }
    return text;
  }

 private:
  std::mt19937 random_;
};

template <typename Work>
void expect_only_errors_of_ours(const std::string& good, int rounds, Work work) {
  Damage damage(4711);
  for (int round = 0; round < rounds; ++round) {
    std::string bad = damage(good);
    try {
      work(bad);
    } catch (const os::Error&) {
    }
  }
}

TEST(HostileInput, Answers) {
  Answer answer;
  answer.success = true;
  answer.inspection.partitions = {{.device = "disk0p1", .offset = 1, .size = 2, .type = "ext4"}};
  answer.inspection.kernels = {{.version = "6.1", .missing_drivers = {"a"}}};
  answer.edits = {{"/etc/fstab", "changed", "Why.", "--- a\n", ""}};
  answer.printed = {{"fstab before", "x"}};
  expect_only_errors_of_ours(serialize(answer), 20000, [](const std::string& bad) {
    parse_progress(bad);
    parse_answer(bad);
  });
}

TEST(HostileInput, InitramfsImages) {
  std::string plain = vmware_image("6.1.0-test");
  for (std::vector<std::string> packer :
       std::vector<std::vector<std::string>>{{"cat"},
                                             {"gzip", "-c"},
                                             {"zstd", "-q", "-c"},
                                             {"xz", "--check=crc32", "-c"},
                                             {"lz4", "-q", "-l", "-c"},
                                             {"bzip2", "-c"},
                                             {"xz", "--format=lzma", "-c"}}) {
    Tree tree;
    expect_only_errors_of_ours(filter(packer, plain), 300, [&tree](const std::string& bad) {
      tree.file("/image", bad);
      Initramfs image = read_initramfs(*GuestRoot(tree.top()).open("/image"));
      image.modules("6.1.0-test");
      image.resolve("lib/modules/../x");
    });
  }
}

TEST(HostileInput, LvmDescriptions) {
  std::string good =
      "vg {\nid = \"a\"\nseqno = 1\nextent_size = 8192\nphysical_volumes {\npv0 {\nid = \"x\"\npe_start = "
      "2048\n"
      "pe_count = 20\n}\n}\nlogical_volumes {\nroot {\nstatus = [\"VISIBLE\"]\nsegment1 {\nstart_extent = 0\n"
      "extent_count = 4\ntype = \"striped\"\nstripe_count = 1\nstripes = [\n\"pv0\", 3\n]\n}\n}\n}\n}\n";
  expect_only_errors_of_ours(good, 20000, [](const std::string& bad) {
    LvmGroup group = parse_lvm_group(bad, "disk0p1");
    for (const LvmLogicalVolume& volume : group.logical_volumes)
      lvm_table(group, volume, [](const std::string&) { return "1:1"; });
  });
}

TEST(HostileInput, BootMenus) {
  TestGuest guest;
  make_debian(guest);
  guest.tree.file("/boot/vmlinuz-1", "k");
  std::string grub = guest.tree.read("/boot/grub/grub.cfg") +
                     "submenu 'x' --id y {\nmenuentry \"z\" {\nlinux ($root)/boot/vmlinuz-1 ${a} "
                     "root=/dev/sda1\n}\n}\nblscfg\n";
  std::string entry = "title x\nlinux /vmlinuz-1\ninitrd /a $b\noptions root=/dev/sda1 ${c}\n";
  std::string flat =
      "default 0\ntitle x\n kernel --a /vmlinuz-1 root=/dev/sda1\n initrd /x\nLABEL y\n APPEND initrd=/x,y\n";
  Damage damage(42);
  for (int round = 0; round < 1500; ++round) {
    guest.tree.file("/boot/grub/grub.cfg", damage(grub))
        .file("/boot/loader/entries/a.conf", damage(entry))
        .file("/boot/grub/menu.lst", damage(flat))
        .file("/boot/extlinux.conf", damage(flat));
    GuestRoot root(guest.tree.top());
    try {
      read_grub2(root);
      read_systemd_boot(root);
      read_extlinux(root);
      read_grub_legacy(root);
    } catch (const os::Error&) {
    }
  }
  expect_only_errors_of_ours(
      "# GRUB Environment Block\na=b\nkernelopts=root=/dev/sda1\n####", 5000, [](const std::string& bad) {
        parse_grub_environment(bad);
        edit_grub_environment(bad, [](std::string_view, std::string_view value) {
          return rename_devices(value, [](auto, auto) { return std::string("UUID=x"); });
        });
      });
}

TEST(HostileInput, NetworkConfiguration) {
  Tree tree;
  std::string interfaces =
      "auto ens192\nsource interfaces.d/*\niface ens192 inet static\n bond-slaves eth0 eth1\n";
  std::string netplan =
      "network:\n  ethernets:\n    ens160:\n      match: {macaddress: \"00:50:56:00:00:01\"}\n      "
      "set-name: x\n";
  std::string keyfile =
      "[connection]\ntype=ethernet\ninterface-name=ens192\n[ethernet]\nmac-address=00:50:56:00:00:01\n";
  std::string ifcfg = "DEVICE=\"ens192\"\nHWADDR='00:50:56:00:00:01'\nTYPE=Ethernet\n";
  std::string rules = "SUBSYSTEM==\"net\", ATTR{address}==\"00:50:56:00:00:01\", NAME=\"eth0\"\n";
  Damage damage(7);
  for (int round = 0; round < 1500; ++round) {
    tree.file("/etc/network/interfaces", damage(interfaces))
        .file("/etc/network/interfaces.d/x", damage(interfaces))
        .file("/etc/netplan/x.yaml", damage(netplan))
        .file("/etc/NetworkManager/system-connections/x", damage(keyfile))
        .file("/etc/sysconfig/network-scripts/ifcfg-x", damage(ifcfg))
        .file("/etc/udev/rules.d/70-persistent-net.rules", damage(rules));
    GuestRoot root(tree.top());
    try {
      for (const auto& [name, interface] : find_configured_interfaces(root)) {
        EXPECT_EQ(name.find('/'), std::string::npos);
        EXPECT_LE(name.size(), 15u);
      }
    } catch (const os::Error&) {
    }
  }
}

TEST(HostileInput, Texts) {
  expect_only_errors_of_ours("/dev/sda1\t/mnt\\040x ext4 defaults,subvol=@ 0 1\n# x\nUUID=1 / xfs noauto\n",
                             20000, [](const std::string& bad) {
                               Table table = Table::parse(bad);
                               EXPECT_EQ(table.text(), bad);
                               for (TableLine& line : table.lines)
                                 for (std::size_t field = 0; field < line.fields.size(); ++field) {
                                   line.set_field(field, "a b\\c");
                                   EXPECT_EQ(line.field(field), "a b\\c");
                                 }
                             });
  expect_only_errors_of_ours("/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:1:0-part2", 20000,
                             [](const std::string& bad) { parse_device_name(bad); });
  expect_only_errors_of_ours("ID=\"de\\\"bian\"\nexport A='b c' # x\n", 20000,
                             [](const std::string& bad) { parse_assignments(bad); });
  expect_only_errors_of_ours("kernel/a/b.ko.xz: kernel/c.ko kernel/d.ko.zst\nkernel/c.ko:\n", 20000,
                             [](const std::string& bad) {
                               DependencyMap map = parse_dependencies(bad);
                               std::map<std::string, std::string> present;
                               for (const auto& [name, module] : map) present[name] = module.path;
                               make_indexes(present, map, "alias a* b\n" + bad, "softdep b pre: c\n" + bad);
                             });
  std::string before = "1\n2\n3\n4\n5\n6\n7\n8\n";
  expect_only_errors_of_ours(before, 5000,
                             [&before](const std::string& bad) { unified_diff("/x", before, bad); });
}

}  // namespace
}  // namespace hyper2kvm::guest
