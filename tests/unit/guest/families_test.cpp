// One small guest for each family of distributions, laid out as the family's own documentation says: where it
// keeps its loader's menu, its initramfs, its modules and its network configuration. All of them come from
// VMware's hardware.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/guest/initramfs/segment.h"
#include "tests/unit/guest/test_guest.h"

namespace hyper2kvm::guest {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// What an image's generator leaves in it.
using Signs = std::vector<std::pair<std::string, std::string>>;

const Signs kInitramfsTools = {{"/scripts/functions", "#"},
                               {"/conf/initramfs.conf", "MODULES=dep\n"},
                               {"/conf/modules", "vmw_pvscsi\n"},
                               {"/usr/lib/systemd/systemd-udevd", "x"}};
const Signs kDracut = {{"/usr/lib/dracut-lib.sh", "#"},
                       {"/usr/lib/systemd/systemd", "x"},
                       {"/usr/lib/systemd/systemd-udevd", "x"}};
const Signs kOldDracut = {{"/lib/dracut-lib.sh", "#"}, {"/sbin/udevd", "x"}};
const Signs kMkinitcpio = {
    {"/init_functions", "#"}, {"/config", "HOOKS=\"udev\"\n"}, {"/usr/lib/systemd/systemd-udevd", "x"}};
const Signs kMkinitrd = {{"/run_all.sh", "#"}, {"/sbin/udevd", "x"}};
const Signs kMkinitfs = {{"/sbin/nlplug-findfs", "x"}, {"/etc/mdev.conf", "#"}};

struct Family {
  const char* name;
  std::string kernel;               // version
  std::string image, initramfs;     // paths
  std::vector<std::string> packer;  // of the image
  Signs signs;
  bool microcode = false;  // in an archive of its own, in front of the image's
  std::string modules;     // where they are
  std::string module_suffix;
  Signs files;                       // the rest of the tree
  std::string root;                  // fstab's and the loader's name of the root before
  std::vector<std::string> changed;  // files that must be changed or made
  // What the inspection must say.
  std::string distribution, loader, generator, init;
};

std::string release(const std::string& id, const std::string& version) {
  return "ID=" + id + "\nVERSION_ID=\"" + version + "\"\nPRETTY_NAME=\"" + id + " " + version + "\"\n";
}

std::string grub_entry(const Family& family, const std::string& prefix) {
  return "menuentry '" + std::string(family.name) + "' {\n\tlinux16 " + prefix + family.image.substr(5) +
         " root=" + family.root + " ro quiet\n\tinitrd16 " + prefix + family.initramfs.substr(5) + "\n}\n";
}

const Signs kSystemd = {{"/usr/lib/systemd/systemd", "x"}, {"/usr/lib/systemd/network/99-default.link", "x"}};

Signs operator+(Signs a, const Signs& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<Family> families() {
  std::vector<Family> list;
  auto add = [&list](Family family, const std::function<Signs(const Family&)>& menu) {
    family.files = family.files + menu(family);
    list.push_back(std::move(family));
  };
  auto grub2 = [](const std::string& file, const std::string& prefix) {
    return [file, prefix](const Family& family) { return Signs{{file, grub_entry(family, prefix)}}; };
  };
  auto loader_entry = [](const Family& family) {
    return Signs{{"/boot/loader/entries/abc-" + family.kernel + ".conf",
                  "title Linux\nversion " + family.kernel + "\nlinux " + family.image.substr(5) +
                      "\ninitrd " + family.initramfs.substr(5) + "\noptions root=" + family.root +
                      " ro quiet\n"}};
  };
  add({.name = "Debian6",
       .kernel = "2.6.32-5-amd64",
       .image = "/boot/vmlinuz-2.6.32-5-amd64",
       .initramfs = "/boot/initrd.img-2.6.32-5-amd64",
       .packer = {"gzip", "-n", "-c"},
       .signs = {{"/scripts/functions", "#"},
                 {"/conf/initramfs.conf", ""},
                 {"/conf/modules", ""},
                 {"/sbin/udevd", "x"}},
       .modules = "/lib/modules/2.6.32-5-amd64",
       .files =
           {{"/etc/debian_version", "6.0.10\n"},
            {"/etc/initramfs-tools/modules", ""},
            {"/etc/inittab", "id:2:initdefault:\n"},
            {"/etc/init.d/rc", "#"},
            {"/etc/network/interfaces", "auto eth0\niface eth0 inet static\n"},
            {"/etc/udev/rules.d/70-persistent-net.rules",
             "SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"00:0c:29:00:00:01\", "
             "KERNEL==\"eth*\", NAME=\"eth0\"\n"},
            {"/lib/udev/rules.d/75-persistent-net-generator.rules", "#"}},
       .root = "/dev/sda1",
       .changed = {"/etc/udev/rules.d/70-persistent-net.rules", "/etc/initramfs-tools/modules"},
       .distribution = "debian",
       .loader = "grub2",
       .generator = "initramfs-tools",
       .init = "sysvinit"},
      grub2("/boot/grub/grub.cfg", "/boot"));
  add({.name = "Ubuntu1604",
       .kernel = "4.4.0-210-generic",
       .image = "/boot/vmlinuz-4.4.0-210-generic",
       .initramfs = "/boot/initrd.img-4.4.0-210-generic",
       .packer = {"gzip", "-n", "-c"},
       .signs = {{"/scripts/functions", "#"},
                 {"/conf/initramfs.conf", "MODULES=most\n"},
                 {"/conf/modules", ""},
                 {"/lib/systemd/systemd-udevd", "x"}},
       .modules = "/lib/modules/4.4.0-210-generic",
       .files = {{"/lib/systemd/systemd", "x"},
                 {"/lib/systemd/network/99-default.link", "x"},
                 {"/etc/os-release", release("ubuntu", "16.04")},
                 {"/etc/initramfs-tools/modules", ""},
                 {"/etc/network/interfaces",
                  "auto ens160\niface ens160 inet static\n\taddress 10.0.0.5\n\tnetmask 255.255.255.0\n"}},
       .root = "/dev/sda1",
       .changed = {"/etc/systemd/network/10-hyper2kvm-ens160.link", "/etc/initramfs-tools/modules"},
       .distribution = "ubuntu",
       .loader = "grub2",
       .generator = "initramfs-tools",
       .init = "systemd"},
      grub2("/boot/grub/grub.cfg", "/boot"));
  add({.name = "Ubuntu2004",
       .kernel = "5.4.0-42-generic",
       .image = "/boot/vmlinuz-5.4.0-42-generic",
       .initramfs = "/boot/initrd.img-5.4.0-42-generic",
       .packer = {"lz4", "-q", "-l", "-c"},
       .signs = kInitramfsTools,
       .modules = "/usr/lib/modules/5.4.0-42-generic",
       .files = kSystemd + Signs{{"/etc/os-release", release("ubuntu", "20.04")},
                                 {"/etc/initramfs-tools/modules", ""},
                                 {"/etc/netplan/00-installer-config.yaml",
                                  "network:\n  ethernets:\n    ens160:\n      dhcp4: true\n  version: 2\n"}},
       .root = "/dev/sda1",
       .changed = {"/etc/systemd/network/10-hyper2kvm-ens160.link", "/etc/initramfs-tools/modules"},
       .distribution = "ubuntu",
       .loader = "grub2",
       .generator = "initramfs-tools",
       .init = "systemd"},
      grub2("/boot/grub/grub.cfg", "/boot"));
  add({.name = "Ubuntu2404",
       .kernel = "6.8.0-31-generic",
       .image = "/boot/vmlinuz-6.8.0-31-generic",
       .initramfs = "/boot/initrd.img-6.8.0-31-generic",
       .packer = {"zstd", "-q", "-c"},
       .signs = kInitramfsTools,
       .modules = "/usr/lib/modules/6.8.0-31-generic",
       .module_suffix = ".zst",
       .files = kSystemd +
                Signs{{"/etc/os-release", release("ubuntu", "24.04")}, {"/etc/initramfs-tools/modules", ""}},
       .root = "/dev/sda1",
       .changed = {"/etc/initramfs-tools/modules"},
       .distribution = "ubuntu",
       .loader = "grub2",
       .generator = "initramfs-tools",
       .init = "systemd"},
      grub2("/boot/grub/grub.cfg", "/boot"));
  add({.name = "Centos6",
       .kernel = "2.6.32-754.el6.x86_64",
       .image = "/boot/vmlinuz-2.6.32-754.el6.x86_64",
       .initramfs = "/boot/initramfs-2.6.32-754.el6.x86_64.img",
       .packer = {"gzip", "-n", "-c"},
       .signs = kOldDracut,
       .modules = "/lib/modules/2.6.32-754.el6.x86_64",
       .files =
           {{"/etc/redhat-release", "CentOS release 6.10 (Final)\n"},
            {"/etc/centos-release", "CentOS release 6.10 (Final)\n"},
            {"/sbin/initctl", "x"},
            {"/etc/init/rc.conf", "#"},
            {"/etc/dracut.conf.d/empty.conf", ""},
            {"/etc/sysconfig/network", "NETWORKING=yes\nHOSTNAME=old\n"},
            {"/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nHWADDR=00:50:56:AA:BB:01\n"},
            {"/etc/udev/rules.d/70-persistent-net.rules",
             "# PCI device 0x15ad:0x07b0 (vmxnet3)\nSUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", "
             "ATTR{address}==\"00:50:56:aa:bb:01\", ATTR{type}==\"1\", KERNEL==\"eth*\", NAME=\"eth0\"\n"}},
       .root = "/dev/sda1",
       .changed = {"/boot/grub/menu.lst", "/etc/dracut.conf.d/90-hyper2kvm.conf"},
       .distribution = "centos",
       .loader = "grub-legacy",
       .generator = "dracut",
       .init = "upstart"},
      [](const Family& family) {
        return Signs{{"/boot/grub/menu.lst", "default=0\ntitle CentOS\n\troot (hd0,0)\n\tkernel " +
                                                 family.image.substr(5) + " ro root=" + family.root +
                                                 " quiet\n\tinitrd " + family.initramfs.substr(5) + "\n"}};
      });
  add({.name = "Rhel7",
       .kernel = "3.10.0-1160.el7.x86_64",
       .image = "/boot/vmlinuz-3.10.0-1160.el7.x86_64",
       .initramfs = "/boot/initramfs-3.10.0-1160.el7.x86_64.img",
       .packer = {"gzip", "-n", "-c"},
       .signs = kDracut,
       .modules = "/usr/lib/modules/3.10.0-1160.el7.x86_64",
       .module_suffix = ".xz",
       .files =
           kSystemd + Signs{{"/etc/os-release", release("rhel", "7.9")},
                            {"/etc/dracut.conf.d/empty.conf", ""},
                            {"/etc/sysconfig/network-scripts/ifcfg-ens192", "DEVICE=ens192\nNAME=ens192\n"},
                            {"/etc/selinux/config", "SELINUX=enforcing\n"}},
       .root = "/dev/sda1",
       .changed = {"/etc/systemd/network/10-hyper2kvm-ens192.link", "/etc/dracut.conf.d/90-hyper2kvm.conf"},
       .distribution = "rhel",
       .loader = "grub2",
       .generator = "dracut",
       .init = "systemd"},
      grub2("/boot/grub2/grub.cfg", ""));
  add({.name = "Rhel8",
       .kernel = "4.18.0-553.el8.x86_64",
       .image = "/boot/vmlinuz-4.18.0-553.el8.x86_64",
       .initramfs = "/boot/initramfs-4.18.0-553.el8.x86_64.img",
       .packer = {"gzip", "-n", "-c"},
       .signs = kDracut,
       .modules = "/usr/lib/modules/4.18.0-553.el8.x86_64",
       .module_suffix = ".xz",
       .files = kSystemd + Signs{{"/etc/os-release", release("rhel", "8.10")},
                                 {"/etc/dracut.conf.d/empty.conf", ""},
                                 {"/boot/grub2/grub.cfg", "set default=\"${saved_entry}\"\nblscfg\n"}},
       .root = "/dev/sda1",
       .changed = {"/boot/grub2/grubenv", "/etc/dracut.conf.d/90-hyper2kvm.conf"},
       .distribution = "rhel",
       .loader = "grub2",
       .generator = "dracut",
       .init = "systemd"},
      [](const Family& family) {
        std::string block = "# GRUB Environment Block\nsaved_entry=abc-" + family.kernel +
                            "\nkernelopts=root=" + family.root + " ro quiet \n";
        block.resize(1024, '#');
        return Signs{
            {"/boot/grub2/grubenv", block},
            {"/boot/loader/entries/abc-" + family.kernel + ".conf",
             "title RHEL\nversion " + family.kernel + "\nlinux " + family.image.substr(5) + "\ninitrd " +
                 family.initramfs.substr(5) + " $tuned_initrd\noptions $kernelopts $tuned_params\n"}};
      });
  add({.name = "Rocky9",
       .kernel = "5.14.0-427.el9.x86_64",
       .image = "/boot/vmlinuz-5.14.0-427.el9.x86_64",
       .initramfs = "/boot/initramfs-5.14.0-427.el9.x86_64.img",
       .packer = {"zstd", "-q", "-c"},
       .signs = kDracut,
       .modules = "/usr/lib/modules/5.14.0-427.el9.x86_64",
       .module_suffix = ".xz",
       .files = kSystemd + Signs{{"/etc/os-release", release("rocky", "9.4")},
                                 {"/etc/dracut.conf.d/empty.conf", ""},
                                 {"/boot/grub2/grub.cfg", "blscfg\n"},
                                 {"/etc/NetworkManager/system-connections/ens192.nmconnection",
                                  "[connection]\nid=ens192\ntype=ethernet\ninterface-name=ens192\n"}},
       .root = "/dev/sda1",
       .changed = {"/etc/systemd/network/10-hyper2kvm-ens192.link"},
       .distribution = "rocky",
       .loader = "grub2",
       .generator = "dracut",
       .init = "systemd"},
      loader_entry);
  add({.name = "Rhel10",
       .kernel = "6.12.0-55.9.1.el10_0.x86_64",
       .image = "/boot/vmlinuz-6.12.0-55.9.1.el10_0.x86_64",
       .initramfs = "/boot/initramfs-6.12.0-55.9.1.el10_0.x86_64.img",
       .packer = {"zstd", "-q", "-c"},
       .signs = kDracut,
       .microcode = true,
       .modules = "/usr/lib/modules/6.12.0-55.9.1.el10_0.x86_64",
       .module_suffix = ".xz",
       .files = kSystemd + Signs{{"/etc/os-release", release("rhel", "10.0")},
                                 {"/etc/dracut.conf.d/empty.conf", ""},
                                 {"/etc/kernel/cmdline", "root=/dev/sda1 ro quiet\n"},
                                 {"/boot/grub2/grub.cfg", "set default=\"${saved_entry}\"\nblscfg\n"},
                                 {"/etc/NetworkManager/system-connections/lan.nmconnection",
                                  "[connection]\nid=lan\ntype=ethernet\ninterface-name=ens33\n"
                                  "[ipv4]\nmethod=manual\naddress1=10.0.0.7/24,10.0.0.1\n"}},
       .root = "/dev/sda1",
       .changed = {"/etc/systemd/network/10-hyper2kvm-ens33.link", "/etc/dracut.conf.d/90-hyper2kvm.conf",
                   "/etc/kernel/cmdline"},
       .distribution = "rhel",
       .loader = "grub2",
       .generator = "dracut",
       .init = "systemd"},
      loader_entry);
  add({.name = "Fedora",
       .kernel = "6.8.5-301.fc40.x86_64",
       .image = "/boot/vmlinuz-6.8.5-301.fc40.x86_64",
       .initramfs = "/boot/initramfs-6.8.5-301.fc40.x86_64.img",
       .packer = {"zstd", "-q", "-c"},
       .signs = kDracut,
       .microcode = true,
       .modules = "/usr/lib/modules/6.8.5-301.fc40.x86_64",
       .module_suffix = ".xz",
       .files = kSystemd + Signs{{"/etc/os-release", release("fedora", "40")},
                                 {"/etc/fedora-release", "Fedora release 40 (Forty)\n"},
                                 {"/etc/dracut.conf.d/empty.conf", ""},
                                 {"/boot/grub2/grub.cfg", "insmod blscfg\nblscfg\n"},
                                 {"/etc/NetworkManager/system-connections/ens192.nmconnection",
                                  "[connection]\nid=ens192\ntype=ethernet\ninterface-name=ens192\n"}},
       .root = "/dev/sda1",
       .changed = {"/etc/systemd/network/10-hyper2kvm-ens192.link", "/etc/dracut.conf.d/90-hyper2kvm.conf"},
       .distribution = "fedora",
       .loader = "grub2",
       .generator = "dracut",
       .init = "systemd"},
      loader_entry);
  add({.name = "Sles11",
       .kernel = "3.0.101-63-default",
       .image = "/boot/vmlinuz-3.0.101-63-default",
       .initramfs = "/boot/initrd-3.0.101-63-default",
       .packer = {"gzip", "-n", "-c"},
       .signs = kMkinitrd,
       .modules = "/lib/modules/3.0.101-63-default",
       .files = {{"/etc/SuSE-release", "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\n"},
                 {"/etc/init.d/rc", "#"},
                 {"/etc/sysconfig/kernel", "INITRD_MODULES=\"vmw_pvscsi mptspi\"\n"},
                 {"/etc/sysconfig/network/ifcfg-eth0", "BOOTPROTO='dhcp'\n"},
                 {"/etc/udev/rules.d/70-persistent-net.rules", "# empty\n"}},
       .root = "/dev/disk/by-id/scsi-36000c29f00-part1",
       .changed = {"/boot/grub/menu.lst", "/etc/sysconfig/kernel"},
       .distribution = "sles",
       .loader = "grub-legacy",
       .generator = "mkinitrd",
       .init = "sysvinit"},
      [](const Family& family) {
        return Signs{{"/boot/grub/menu.lst", "default 0\ntitle SLES\n    root (hd0,0)\n    kernel " +
                                                 family.image + " root=" + family.root +
                                                 " splash=silent\n    initrd " + family.initramfs + "\n"}};
      });
  add({.name = "Sles12",
       .kernel = "4.12.14-122.37-default",
       .image = "/boot/vmlinuz-4.12.14-122.37-default",
       .initramfs = "/boot/initrd-4.12.14-122.37-default",
       .packer = {"xz", "--check=crc32", "-c"},
       .signs = kDracut,
       .modules = "/lib/modules/4.12.14-122.37-default",
       .files = kSystemd +
                Signs{{"/etc/os-release", release("sles", "12.5")},
                      {"/etc/dracut.conf.d/empty.conf", ""},
                      {"/usr/sbin/wicked", "x"},
                      {"/etc/sysconfig/network/ifcfg-eth0", "BOOTPROTO='static'\nIPADDR='10.0.0.8/24'\n"},
                      {"/etc/udev/rules.d/70-persistent-net.rules",
                       "SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", "
                       "ATTR{address}==\"00:50:56:aa:bb:01\", ATTR{dev_id}==\"0x0\", ATTR{type}==\"1\", "
                       "KERNEL==\"eth*\", NAME=\"eth0\"\n"}},
       .root = "/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:0:0-part1",
       .changed = {"/boot/grub2/grub.cfg", "/etc/dracut.conf.d/90-hyper2kvm.conf"},
       .distribution = "sles",
       .loader = "grub2",
       .generator = "dracut",
       .init = "systemd"},
      grub2("/boot/grub2/grub.cfg", "/boot"));
  add({.name = "Sles15",
       .kernel = "5.14.21-150500.53-default",
       .image = "/boot/vmlinuz-5.14.21-150500.53-default",
       .initramfs = "/boot/initrd-5.14.21-150500.53-default",
       .packer = {"xz", "--check=crc32", "-c"},
       .signs = kDracut,
       .modules = "/usr/lib/modules/5.14.21-150500.53-default",
       .module_suffix = ".zst",
       .files = kSystemd + Signs{{"/etc/os-release", release("sles", "15.5")},
                                 {"/etc/dracut.conf.d/empty.conf", ""},
                                 {"/usr/sbin/wicked", "x"},
                                 {"/etc/sysconfig/network/ifcfg-ens192", "BOOTPROTO='static'\n"}},
       .root = "/dev/sda1",
       .changed = {"/etc/systemd/network/10-hyper2kvm-ens192.link"},
       .distribution = "sles",
       .loader = "grub2",
       .generator = "dracut",
       .init = "systemd"},
      grub2("/boot/grub2/grub.cfg", "/boot"));
  add({.name = "OpenSuseTumbleweed",
       .kernel = "6.9.7-1-default",
       .image = "/boot/vmlinuz-6.9.7-1-default",
       .initramfs = "/boot/initrd-6.9.7-1-default",
       .packer = {"zstd", "-q", "-c"},
       .signs = kDracut,
       .microcode = true,
       .modules = "/usr/lib/modules/6.9.7-1-default",
       .module_suffix = ".zst",
       .files =
           kSystemd + Signs{{"/etc/os-release", release("opensuse-tumbleweed", "20240701")},
                            {"/etc/dracut.conf.d/empty.conf", ""},
                            {"/etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet resume=/dev/sda5\"\n"},
                            {"/etc/NetworkManager/system-connections/lan.nmconnection",
                             "[connection]\nid=lan\ntype=ethernet\ninterface-name=ens192\n"}},
       .root = "/dev/sda1",
       .changed = {"/boot/grub2/grub.cfg", "/etc/default/grub",
                   "/etc/systemd/network/10-hyper2kvm-ens192.link"},
       .distribution = "opensuse-tumbleweed",
       .loader = "grub2",
       .generator = "dracut",
       .init = "systemd"},
      grub2("/boot/grub2/grub.cfg", "/boot"));
  add({.name = "OracleLinux8",
       .kernel = "5.15.0-206.153.7.el8uek.x86_64",
       .image = "/boot/vmlinuz-5.15.0-206.153.7.el8uek.x86_64",
       .initramfs = "/boot/initramfs-5.15.0-206.153.7.el8uek.x86_64.img",
       .packer = {"gzip", "-n", "-c"},
       .signs = kDracut,
       .modules = "/usr/lib/modules/5.15.0-206.153.7.el8uek.x86_64",
       .module_suffix = ".xz",
       .files = kSystemd + Signs{{"/etc/os-release", release("ol", "8.10")},
                                 {"/etc/oracle-release", "Oracle Linux Server release 8.10\n"},
                                 {"/etc/dracut.conf.d/empty.conf", ""},
                                 {"/boot/grub2/grub.cfg", "insmod blscfg\nblscfg\n"},
                                 {"/etc/sysconfig/network-scripts/ifcfg-ens192", "DEVICE=ens192\n"}},
       .root = "/dev/sda1",
       .changed = {"/etc/systemd/network/10-hyper2kvm-ens192.link", "/etc/dracut.conf.d/90-hyper2kvm.conf"},
       .distribution = "ol",
       .loader = "grub2",
       .generator = "dracut",
       .init = "systemd"},
      loader_entry);
  add({.name = "Alma9",
       .kernel = "5.14.0-503.11.1.el9_5.x86_64",
       .image = "/boot/vmlinuz-5.14.0-503.11.1.el9_5.x86_64",
       .initramfs = "/boot/initramfs-5.14.0-503.11.1.el9_5.x86_64.img",
       .packer = {"zstd", "-q", "-c"},
       .signs = kDracut,
       .microcode = true,
       .modules = "/usr/lib/modules/5.14.0-503.11.1.el9_5.x86_64",
       .module_suffix = ".xz",
       .files = kSystemd + Signs{{"/etc/os-release", release("almalinux", "9.5")},
                                 {"/etc/dracut.conf.d/empty.conf", ""},
                                 {"/etc/kernel/cmdline", "root=/dev/sda1 ro resume=/dev/sda5\n"},
                                 {"/boot/grub2/grub.cfg", "set default=\"${saved_entry}\"\nblscfg\n"}},
       .root = "/dev/sda1",
       .changed = {"/etc/kernel/cmdline", "/etc/dracut.conf.d/90-hyper2kvm.conf"},
       .distribution = "almalinux",
       .loader = "grub2",
       .generator = "dracut",
       .init = "systemd"},
      loader_entry);
  add({.name = "AmazonLinux2",
       .kernel = "4.14.336-253.amzn2.x86_64",
       .image = "/boot/vmlinuz-4.14.336-253.amzn2.x86_64",
       .initramfs = "/boot/initramfs-4.14.336-253.amzn2.x86_64.img",
       .packer = {"gzip", "-n", "-c"},
       .signs = kDracut,
       .modules = "/usr/lib/modules/4.14.336-253.amzn2.x86_64",
       .files =
           kSystemd + Signs{{"/etc/os-release", release("amzn", "2")},
                            {"/etc/dracut.conf.d/empty.conf", ""},
                            {"/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nBOOTPROTO=dhcp\n"}},
       .root = "/dev/xvda1",
       .changed = {"/etc/systemd/network/10-hyper2kvm-eth0.link"},
       .distribution = "amzn",
       .loader = "grub2",
       .generator = "dracut",
       .init = "systemd"},
      grub2("/boot/grub2/grub.cfg", "/boot"));
  add({.name = "AmazonLinux2023",
       .kernel = "6.1.90-99.173.amzn2023.x86_64",
       .image = "/boot/vmlinuz-6.1.90-99.173.amzn2023.x86_64",
       .initramfs = "/boot/initramfs-6.1.90-99.173.amzn2023.x86_64.img",
       .packer = {"xz", "--check=crc32", "-c"},
       .signs = kDracut,
       .modules = "/usr/lib/modules/6.1.90-99.173.amzn2023.x86_64",
       .module_suffix = ".xz",
       .files = kSystemd + Signs{{"/etc/os-release", release("amzn", "2023")},
                                 {"/etc/dracut.conf.d/empty.conf", ""},
                                 {"/boot/grub2/grub.cfg", "insmod blscfg\nblscfg\n"},
                                 {"/etc/systemd/network/10-lan.network",
                                  "[Match]\nName=ens160\n[Network]\nAddress=10.0.0.9/24\n"}},
       .root = "/dev/sda1",
       .changed = {"/etc/systemd/network/10-hyper2kvm-ens160.link"},
       .distribution = "amzn",
       .loader = "grub2",
       .generator = "dracut",
       .init = "systemd"},
      loader_entry);
  add({.name = "Arch",
       .kernel = "6.9.1-arch1-1",
       .image = "/boot/vmlinuz-linux",
       .initramfs = "/boot/initramfs-linux.img",
       .packer = {"zstd", "-q", "-c"},
       .signs = kMkinitcpio,
       .modules = "/usr/lib/modules/6.9.1-arch1-1",
       .module_suffix = ".zst",
       .files = kSystemd + Signs{{"/etc/os-release", "ID=arch\nPRETTY_NAME=\"Arch Linux\"\n"},
                                 {"/usr/lib/modules/6.9.1-arch1-1/pkgbase", "linux\n"},
                                 {"/etc/mkinitcpio.conf", "MODULES=()\nHOOKS=(base udev autodetect block)\n"},
                                 {"/etc/systemd/network/20-wired.network", "[Match]\nName=ens160\n"},
                                 {"/boot/loader/loader.conf", "default arch.conf\n"}},
       .root = "/dev/sda1",
       .changed = {"/boot/loader/entries/arch.conf", "/etc/mkinitcpio.conf",
                   "/etc/systemd/network/10-hyper2kvm-ens160.link"},
       .distribution = "arch",
       .loader = "systemd-boot",
       .generator = "mkinitcpio",
       .init = "systemd"},
      [](const Family& family) {
        return Signs{{"/boot/loader/entries/arch.conf",
                      "title Arch\nlinux /vmlinuz-linux\ninitrd /initramfs-linux.img\noptions root=" +
                          family.root + " rw\n"}};
      });
  add({.name = "Alpine",
       .kernel = "6.6.30-0-lts",
       .image = "/boot/vmlinuz-lts",
       .initramfs = "/boot/initramfs-lts",
       .packer = {"gzip", "-n", "-c"},
       .signs = kMkinitfs,
       .modules = "/lib/modules/6.6.30-0-lts",
       .module_suffix = ".gz",
       .files = {{"/etc/os-release", release("alpine", "3.20.0")},
                 {"/sbin/openrc", "x"},
                 {"/etc/mkinitfs/mkinitfs.conf", "features=\"ata base ext4 scsi\"\n"},
                 {"/etc/mkinitfs/features.d/virtio.modules", "kernel/drivers/block/virtio_blk.ko*\n"},
                 {"/etc/network/interfaces", "auto eth0\niface eth0 inet dhcp\n"}},
       .root = "/dev/sda1",
       .changed = {"/boot/extlinux.conf", "/etc/mkinitfs/mkinitfs.conf"},
       .distribution = "alpine",
       .loader = "extlinux",
       .generator = "mkinitfs",
       .init = "openrc"},
      [](const Family& family) {
        return Signs{{"/boot/extlinux.conf",
                      "DEFAULT lts\nLABEL lts\n  MENU DEFAULT\n  LINUX vmlinuz-lts\n"
                      "  INITRD initramfs-lts\n  APPEND root=" +
                          family.root + " modules=sd-mod,ext4 quiet\n"}};
      });
  add({.name = "Unknown",
       .kernel = "6.1.2",
       .image = "/boot/kernel-6.1.2",
       .initramfs = "/boot/initramfs-6.1.2.img",
       .packer = {"bzip2", "-c"},
       .signs = kDracut,
       .modules = "/lib/modules/6.1.2",
       .files = kSystemd + Signs{{"/etc/os-release", release("homemade", "1")},
                                 {"/etc/network/interfaces", "iface ens192 inet dhcp\n"}},
       .root = "/dev/sda1",
       .changed = {"/etc/systemd/network/10-hyper2kvm-ens192.link"},
       .distribution = "homemade",
       .loader = "grub2",
       .generator = "dracut",
       .init = "systemd"},
      grub2("/boot/grub/grub.cfg", "/boot"));
  return list;
}

class EveryFamily : public testing::TestWithParam<Family> {};

TEST_P(EveryFamily, IsReadyForVirtioAfterItsRepair) {
  const Family& family = GetParam();
  TestGuest guest;
  Tree& tree = guest.tree;
  for (const auto& [path, text] : family.files) tree.file(path, text);
  tree.file("/etc/fstab", family.root + " / ext4 defaults 0 1\n")
      .file(family.image, "kernel")
      .file("/etc/passwd", "root:x:0:0::/:\n");
  add_modules(tree, family.modules, usual_modules(), family.module_suffix);
  Tree image;
  for (const auto& [path, text] : family.signs) image.file(path, text);
  std::string image_modules = "/lib/modules/" + family.kernel;
  if (image.exists("/usr/lib") && !image.exists("/lib")) {
    image.link("/lib", "usr/lib");
    image_modules = "/usr" + image_modules;
  }
  add_modules(image, image_modules,
              only(usual_modules(), {"scsi_common", "scsi_mod", "sd_mod", "vmw_pvscsi"}),
              family.module_suffix);
  std::string packed = filter(family.packer, pack(image.top()));
  if (family.microcode) {
    Tree early;
    early.file("/early_cpio", "1\n").file("/kernel/x86/microcode/GenuineIntel.bin", std::string(5000, 'm'));
    packed = pack(early.top()) + packed;
  }
  tree.file(family.initramfs, packed);

  Outcome outcome = guest.run(run_repair);
  ASSERT_EQ(outcome.error, "");
  EXPECT_EQ(outcome.inspection.distribution, family.distribution);
  EXPECT_EQ(outcome.inspection.boot_loader, family.loader);
  EXPECT_EQ(outcome.inspection.initramfs_generator, family.generator);
  EXPECT_EQ(outcome.inspection.init_system, family.init);
  ASSERT_EQ(outcome.inspection.kernels.size(), 1u);
  EXPECT_EQ(outcome.inspection.kernels[0].version, family.kernel);
  EXPECT_TRUE(outcome.repaired_kernels[0].virtio_ready);
  EXPECT_EQ(tree.read("/etc/fstab"), "UUID=root-uuid / ext4 defaults 0 1\n");
  for (const std::string& path : family.changed) EXPECT_TRUE(outcome.touched(path)) << path;

  // The loader's own view of it now.
  GuestRoot root(tree.top());
  BootMenu menu = read_boot_menu(root);
  ASSERT_NE(menu.default_entry(), nullptr);
  EXPECT_THAT(menu.default_entry()->options, HasSubstr("root=UUID=root-uuid"));
  std::string now = tree.read(family.initramfs);
  EXPECT_EQ(now.substr(0, packed.size()), packed) << "the old image stays as it was";
  Initramfs contents = read_initramfs(*root.open(family.initramfs));
  EXPECT_THAT(driver_state(*ModuleTree::load(root, family.kernel), &contents).missing, IsEmpty());

  // And once more: nothing is left to do.
  Outcome again = guest.run(run_repair);
  EXPECT_EQ(again.error, "");
  EXPECT_THAT(again.edits, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Families, EveryFamily, testing::ValuesIn(families()),
                         [](const auto& family) { return std::string(family.param.name); });

}  // namespace
}  // namespace hyper2kvm::guest
