// What other hypervisors leave in a guest.
//
// Their services no longer start, and their drivers are no longer forced; packages, programs and uninstallers
// stay for the admin, whose package manager knows how to take them out. With remove_vmware_tools VMware's
// units are masked too, so that nothing starts them again, and its udev rules and drop-in files go.
#include <algorithm>

#include "runner/guest/repair/repair.h"
#include "runner/guest/system/services.h"
#include "runner/guest/system/text.h"

namespace hyper2kvm::guest {
namespace {

struct Tools {
  const char* name;
  std::vector<const char*> signs;  // any of these files
  std::vector<const char*> services;
};

const std::vector<Tools>& known_tools() {
  static const std::vector<Tools> list = {
      {"open-vm-tools",
       {"/usr/bin/vmtoolsd", "/usr/sbin/vmtoolsd", "/usr/lib/systemd/system/open-vm-tools.service",
        "/lib/systemd/system/open-vm-tools.service", "/usr/lib/systemd/system/vmtoolsd.service"},
       {"open-vm-tools", "vmtoolsd", "vgauth", "vgauthd", "vmware-vmblock-fuse",
        "run-vmblock\\x2dfuse.mount"}},
      {"vmware-tools",
       {"/usr/bin/vmware-uninstall-tools.pl", "/etc/vmware-tools/locations", "/etc/init.d/vmware-tools",
        "/usr/lib/vmware-tools"},
       {"vmware-tools", "vmware-tools-thinprint", "vmware-tools-vgauth", "vmware-caf"}},
      {"virtualbox",
       {"/usr/sbin/VBoxService", "/opt/VBoxGuestAdditions", "/etc/init.d/vboxadd", "/usr/bin/VBoxClient"},
       {"vboxadd", "vboxadd-service", "vboxadd-x11", "virtualbox-guest-utils", "vboxservice", "vboxclient"}},
      {"xen",
       {"/usr/sbin/xe-daemon", "/usr/sbin/xenstore-read", "/etc/init.d/xe-linux-distribution",
        "/usr/lib/systemd/system/xe-daemon.service"},
       {"xe-daemon", "xe-linux-distribution", "xe-guest-utilities", "xenstored", "xendomains"}},
      {"hyper-v",
       {"/usr/sbin/hv_kvp_daemon", "/usr/sbin/hypervkvpd", "/usr/lib/systemd/system/hv-kvp-daemon.service",
        "/usr/lib/systemd/system/hypervkvpd.service"},
       {"hv-kvp-daemon", "hv-vss-daemon", "hv-fcopy-daemon", "hypervkvpd", "hypervvssd", "hypervfcopyd",
        "hyperv-daemons.hv-kvp-daemon"}},
      {"parallels",
       {"/usr/bin/prltoolsd", "/usr/lib/parallels-tools", "/etc/init.d/prltoolsd"},
       {"prltoolsd", "prl-x11"}},
  };
  return list;
}

constexpr const char* kForeignModules[] = {
    "vmw_pvscsi", "vmxnet3",    "vmxnet",      "mptspi",       "mptscsih",     "mptbase",
    "mptsas",     "pvscsi",     "vmw_balloon", "vmw_vmci",     "vmblock",      "vmhgfs",
    "vmmemctl",   "vmci",       "vsock",       "hv_vmbus",     "hv_storvsc",   "hv_netvsc",
    "hv_utils",   "hv_balloon", "hyperv_fb",   "xen_blkfront", "xen_netfront", "vboxguest",
    "vboxsf",     "vboxvideo",  "prl_fs",      "prl_tg",       "prl_eth",      "vmw_vsock_vmci_transport"};

bool is_foreign(std::string_view module) {
  std::string name(module);
  std::replace(name.begin(), name.end(), '-', '_');
  return std::find(std::begin(kForeignModules), std::end(kForeignModules), name) != std::end(kForeignModules);
}

// Lists of modules to load when the system starts, one a line.
void repair_load_lists(Repair& repair) {
  std::vector<std::string> files = {"/etc/modules", "/etc/modules.conf.d"};
  for (const std::string& name : repair.root.list("/etc/modules-load.d"))
    if (name.ends_with(".conf")) files.push_back("/etc/modules-load.d/" + name);
  for (const std::string& file : files) {
    if (!repair.root.is_file(file)) continue;
    std::string text = repair.root.read_if_sane(file).value_or("");
    std::string result;
    for (std::string_view line : lines_of(text)) {
      auto words = words_of(line);
      if (!words.empty() && is_foreign(words[0])) result += "# of the old hypervisor: ";
      result += std::string(line) + "\n";
    }
    if (result.size() > text.size() + 1)
      repair.root.write(file, result, "Drivers of the old hypervisor are not loaded any more.");
  }
}

// "alias eth0 vmxnet3", "alias scsi_hostadapter mptspi", "install ...", "options ..." of foreign drivers.
void repair_modprobe(Repair& repair) {
  std::vector<std::string> files = {"/etc/modprobe.conf", "/etc/modules.conf"};
  for (const std::string& name : repair.root.list("/etc/modprobe.d"))
    files.push_back("/etc/modprobe.d/" + name);
  for (const std::string& file : files) {
    if (!repair.root.is_file(file)) continue;
    std::string text = repair.root.read_if_sane(file).value_or("");
    std::string result;
    bool changed = false;
    for (std::string_view line : lines_of(text)) {
      auto words = words_of(line);
      std::string out(line);
      if (words.size() >= 3 && words[0] == "alias" && is_foreign(words[2])) {
        changed = true;
        if (words[1].starts_with("eth"))
          out = "alias " + std::string(words[1]) + " virtio_net";
        else if (words[1].starts_with("scsi_hostadapter"))
          out = "alias " + std::string(words[1]) + " virtio_blk";
        else
          out = "# of the old hypervisor: " + out;
      } else if (words.size() >= 2 && (words[0] == "install" || words[0] == "remove") &&
                 is_foreign(words[1])) {
        changed = true;
        out = "# of the old hypervisor: " + out;
      }
      result += out + "\n";
    }
    if (changed) repair.root.write(file, result, "The old hypervisor's drivers have no hardware here.");
  }
}

constexpr const char* kVmwareFiles[] = {
    "/etc/udev/rules.d/99-vmware-scsi-udev.rules", "/etc/udev/rules.d/99-vmware-scsi-timeout.rules",
    "/etc/modprobe.d/vmware-tools.conf",           "/etc/modprobe.d/vmware-fuse.conf",
    "/etc/xdg/autostart/vmware-user.desktop",      "/etc/dracut.conf.d/vmware-tools.conf",
    "/etc/tmpfiles.d/open-vm-tools.conf"};

}  // namespace

void repair_hypervisor_tools(Repair& repair) {
  for (const Tools& tools : known_tools()) {
    bool found = std::any_of(tools.signs.begin(), tools.signs.end(), [&repair](const char* sign) {
      return repair.root.link_status(sign).kind != NodeKind::kAbsent;
    });
    if (!found) continue;
    std::string name = tools.name;
    bool vmware = name == "open-vm-tools" || name == "vmware-tools";
    bool remove = vmware && repair.request.fix.remove_vmware_tools;
    std::string reason = name + " serves another hypervisor.";
    for (const char* service : tools.services) {
      if (!has_service(repair.root, service)) continue;
      if (remove)
        mask_service(repair.root, service, reason);
      else
        disable_service(repair.root, service, reason);
    }
    if (remove)
      for (const char* file : kVmwareFiles) {
        NodeKind kind = repair.root.link_status(file).kind;
        if (kind == NodeKind::kFile || kind == NodeKind::kSymlink) repair.root.remove(file, reason);
      }
  }
  repair_load_lists(repair);
  repair_modprobe(repair);
}

void find_hypervisor_tools(const GuestRoot& root, Inspection& inspection) {
  for (const Tools& tools : known_tools())
    for (const char* sign : tools.signs)
      if (root.link_status(sign).kind != NodeKind::kAbsent) {
        inspection.hypervisor_tools.emplace_back(tools.name);
        break;
      }
}

void repair_guest_agent(Repair& repair) {
  if (!repair.inspection.guest_agent) return;
  for (const char* service : {"qemu-guest-agent", "qemu-ga"})
    if (has_service(repair.root, service))
      enable_service(repair.root, service,
                     "The hypervisor asks the guest's agent for addresses and a clean shutdown.");
}

}  // namespace hyper2kvm::guest
