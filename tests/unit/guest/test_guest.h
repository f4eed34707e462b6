// A guest for tests of repairs: a root directory and the storage that it believes to be on.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runner/guest/repair/repair.h"
#include "runner/guest/system/identity.h"
#include "tests/unit/guest/linux_tree.h"
#include "tests/unit/guest/tree.h"

namespace hyper2kvm::guest {

inline Volume volume(int disk, int partition, const std::string& type, const std::string& uuid) {
  Volume result;
  result.name = "disk" + std::to_string(disk) + (partition == 0 ? "" : "p" + std::to_string(partition));
  result.disk = disk;
  result.partition = partition;
  result.type = type;
  result.uuid = uuid;
  result.part_uuid = partition == 0 ? "" : "cafe-" + std::to_string(disk) + "-" + std::to_string(partition);
  return result;
}

// One disk: ext4 root, swap, a small /boot that most tests do not use.
inline Storage usual_storage() {
  Storage storage;
  storage.table_types = {"dos"};
  storage.volumes = {volume(0, 1, "ext4", "root-uuid"), volume(0, 5, "swap", "swap-uuid")};
  return storage;
}

// What a repair did: the edits it recorded, and the warnings.
struct Outcome {
  std::vector<Edit> edits;
  std::vector<std::string> warnings;
  Inspection inspection;
  std::map<std::string, std::string> printed;
  std::vector<Kernel> repaired_kernels;
  std::vector<contract::BootFact> boot_facts;
  std::string error;

  bool touched(const std::string& path) const { return edit_of(edits, path) != nullptr; }
};

struct TestGuest {
  Tree tree;
  Storage storage = usual_storage();
  Request request;
  std::string root_volume = "disk0p1";

  TestGuest() {
    request.mode = Mode::kRepair;
    request.fix.enabled = true;
    request.fix.backup = false;
    request.disk_count = 1;
    request.nics = {{"nic0", "00:50:56:aa:bb:01", "VM Network"}};
  }

  // Runs one step or several and commits what they changed.
  Outcome run(const std::function<void(Repair&)>& steps) {
    GuestRoot root(tree.top(), request.fix.backup);
    Outcome outcome;
    Repair repair{root, storage, request, outcome.inspection, root_volume, {}, {}, {}, {}, {}, {}};
    try {
      identify(root, outcome.inspection);
      repair.menu = read_boot_menu(root);
      repair.kernels = find_kernels(root, repair.menu);
      outcome.inspection.boot_loader = repair.menu.loader;
      steps(repair);
      if (request.mode == Mode::kRepair) root.commit();
    } catch (const os::Error& error) {
      outcome.error = error.sentence();
    }
    outcome.edits = root.edits();
    outcome.warnings = root.warnings();
    outcome.printed = repair.printed;
    outcome.repaired_kernels = repair.repaired_kernels;
    outcome.boot_facts = repair.boot_facts;
    return outcome;
  }
};

// A Debian as it comes from VMware: the wrong initramfs, names that depend on the hypervisor.
inline void make_debian(TestGuest& guest) {
  const std::string version = "6.1.0-test";
  Tree& tree = guest.tree;
  tree.file("/usr/lib/os-release",
            "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n")
      .link("/etc/os-release", "../usr/lib/os-release")
      .file("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
      .file("/etc/hostname", "demo\n")
      .file("/etc/fstab",
            "# a comment\n/dev/sda1\t/\text4\terrors=remount-ro 0 1\n/dev/sda5 none swap sw 0 0\n"
            "/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0\n")
      .file("/boot/vmlinuz-6.1.0-test", "kernel")
      .file("/boot/initrd.img-6.1.0-test", filter({"zstd", "-q", "-c"}, vmware_image(version)))
      .file("/boot/grub/grub.cfg",
            "set default=\"0\"\nmenuentry 'Debian GNU/Linux' --class debian $menuentry_id_option "
            "'gnulinux-simple' {\n"
            "\tset root='hd0,msdos1'\n\tlinux\t/boot/vmlinuz-6.1.0-test root=/dev/sda1 ro quiet "
            "resume=/dev/sda5\n"
            "\tinitrd\t/boot/initrd.img-6.1.0-test\n}\n")
      .file("/etc/default/grub", "GRUB_CMDLINE_LINUX=\"console=ttyS0\"\nGRUB_DISABLE_LINUX_UUID=true\n")
      .file("/etc/initramfs-tools/modules", "vmw_pvscsi\n")
      .file("/etc/network/interfaces",
            "auto lo\niface lo inet loopback\nallow-hotplug ens192\niface ens192 inet static\n\taddress "
            "10.0.2.15/24\n")
      .file("/usr/lib/systemd/systemd", "systemd")
      .file("/usr/lib/systemd/network/99-default.link", "[Match]\n")
      .file("/usr/bin/vmtoolsd", "tools")
      .file("/usr/lib/systemd/system/open-vm-tools.service",
            "[Unit]\n[Install]\nWantedBy=multi-user.target\nAlias=vmtoolsd.service\n")
      .link("/etc/systemd/system/multi-user.target.wants/open-vm-tools.service",
            "/usr/lib/systemd/system/open-vm-tools.service")
      .link("/etc/systemd/system/vmtoolsd.service", "/usr/lib/systemd/system/open-vm-tools.service")
      .directory("/etc/udev/rules.d")
      .directory("/usr/sbin")
      .link("/sbin", "usr/sbin")
      .link("/bin", "usr/bin");
  add_modules(tree, "/lib/modules/" + version, usual_modules());
}

}  // namespace hyper2kvm::guest
