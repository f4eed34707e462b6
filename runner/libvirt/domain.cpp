// The XML is built as a tree by pugixml, which does the escaping; each function below adds one part of it.
// What libvirt chooses well itself (addresses, PCIe root ports, the versioned machine type) is left to it.
#include "runner/libvirt/domain.h"

#include <algorithm>
#include <pugixml.hpp>
#include <sstream>
#include <string_view>

#include "runner/libvirt/text.h"
#include "runner/os/error.h"

namespace hyper2kvm::libvirt {
namespace {

constexpr const char* kLibosinfoNamespace = "http://libosinfo.org/xmlns/libvirt/domain/1.0";
constexpr const char* kOurNamespace = "https://hyper2kvm.io/xmlns/libvirt/domain/1.0";
constexpr std::size_t kMostOwnedVolumes = 256;
constexpr std::size_t kLongestTitle = 200;  // bytes

using Attributes = std::initializer_list<std::pair<const char*, std::string>>;

pugi::xml_node add(pugi::xml_node parent, const char* name, Attributes attributes = {}) {
  pugi::xml_node node = parent.append_child(name);
  for (const auto& [key, value] : attributes) node.append_attribute(key) = value.c_str();
  return node;
}

void add_text(pugi::xml_node parent, const char* name, const std::string& text, Attributes attributes = {}) {
  add(parent, name, attributes).append_child(pugi::node_pcdata).set_value(text.c_str());
}

[[noreturn]] void refuse(const DomainFacts& facts, std::string problem, std::string advice) {
  throw os::Error(os::ErrorKind::kInvalid, one_line(facts.name, kLongestTitle), std::move(problem),
                  std::move(advice));
}

bool is_mac_address(const std::string& text) {
  if (text.size() != 17) return false;
  for (std::size_t index = 0; index < text.size(); ++index) {
    bool colon = index % 3 == 2;
    if (colon ? text[index] != ':'
              : std::string_view("0123456789abcdefABCDEF").find(text[index]) == std::string_view::npos)
      return false;
  }
  // The lowest bit of the first byte marks a group address, which no interface can have.
  return (std::stoi(text.substr(0, 2), nullptr, 16) & 1) == 0;
}

void check(const DomainFacts& facts, const HostFacts& host) {
  if (facts.disks.empty()) refuse(facts, "has no disk", "Name at least one disk in the manifest.");
  if (facts.cpus == 0) refuse(facts, "has no CPU", "Set vm.cpu in the manifest to 1 or more.");
  if (facts.memory_bytes == 0) refuse(facts, "has no memory", "Set vm.mem_gb in the manifest to 1 or more.");
  if (facts.secure_boot && facts.firmware != contract::Firmware::kUefi)
    refuse(facts, "asks for Secure Boot with BIOS firmware",
           "Set vm.firmware to uefi, or vm.secureboot to false.");
  if (facts.secure_boot && !host.uefi_loader.empty() && !host.uefi_loader_secure)
    refuse(facts, "asks for Secure Boot, which the firmware " + host.uefi_loader + " cannot do",
           "Use a firmware image that was built for it.");
  for (const DomainDisk& disk : facts.disks)
    if (!disk.path.is_absolute() || !is_plain_text(disk.path.string()))
      refuse(facts, "has a disk whose path libvirt cannot take (" + one_line(disk.path.string(), 400) + ")",
             "Give it an absolute path without control characters.");
  for (const DomainNic& nic : facts.nics) {
    if (!nic.mac.empty() && !is_mac_address(nic.mac))
      refuse(facts, "has a NIC with the MAC address \"" + one_line(nic.mac, 64) + "\", which is none",
             "Write six pairs of hexadecimal digits with colons, the first pair even, or leave it out.");
    if (!is_plain_text(nic.network) || !is_plain_text(nic.bridge))
      refuse(facts, "has a NIC whose network or bridge has a name with control characters",
             "Name a network that `virsh net-list` shows.");
  }
}

void add_metadata(pugi::xml_node domain, const DomainFacts& facts, const std::vector<OwnedVolume>& owned) {
  if (facts.os_id.empty() && owned.empty()) return;
  pugi::xml_node metadata = add(domain, "metadata");
  if (!facts.os_id.empty())
    add(add(metadata, "libosinfo:libosinfo", {{"xmlns:libosinfo", kLibosinfoNamespace}}), "libosinfo:os",
        {{"id", one_line(facts.os_id, kLongestTitle)}});
  if (owned.empty()) return;
  pugi::xml_node ours = add(metadata, "hyper2kvm:conversion", {{"xmlns:hyper2kvm", kOurNamespace}});
  for (const OwnedVolume& volume : owned)
    add(ours, "hyper2kvm:volume", {{"pool", volume.pool}, {"name", volume.name}});
}

void add_processors(pugi::xml_node domain, const DomainFacts& facts, const HostFacts& host) {
  pugi::xml_node cpu = add(domain, "cpu");
  if (!host.cpu_mode.empty()) {
    cpu.append_attribute("mode") = host.cpu_mode.c_str();
    cpu.append_attribute("check") = host.cpu_mode == "host-model" ? "partial" : "none";
    if (host.cpu_mode == "host-passthrough") cpu.append_attribute("migratable") = "on";
  }
  // One socket: desktop editions of Windows use two at most, and many licences count them.
  add(cpu, "topology",
      {{"sockets", "1"}, {"dies", "1"}, {"cores", std::to_string(facts.cpus)}, {"threads", "1"}});
}

void add_firmware_feature(pugi::xml_node firmware, const char* name, bool enabled) {
  add(firmware, "feature", {{"enabled", enabled ? "yes" : "no"}, {"name", name}});
}

void add_firmware(pugi::xml_node domain, const DomainFacts& facts, const HostFacts& host) {
  bool uefi = facts.firmware == contract::Firmware::kUefi;
  pugi::xml_node os = add(domain, "os");
  if (uefi && host.uefi_loader.empty()) os.append_attribute("firmware") = "efi";
  add_text(os, "type", "hvm", {{"arch", "x86_64"}, {"machine", host.machine}});
  if (!uefi) return;
  if (host.uefi_loader.empty()) {
    // What is not said here is open to libvirt's choice, which prefers Secure Boot with Microsoft's keys
    // where the host has it: that would keep a guest with an unsigned loader from booting.
    pugi::xml_node firmware = add(os, "firmware");
    add_firmware_feature(firmware, "enrolled-keys", facts.secure_boot);
    add_firmware_feature(firmware, "secure-boot", facts.secure_boot);
    if (facts.secure_boot) add(os, "loader", {{"secure", "yes"}});
    return;
  }
  add_text(os, "loader", host.uefi_loader,
           {{"readonly", "yes"}, {"secure", facts.secure_boot ? "yes" : "no"}, {"type", "pflash"}});
  add(os, "nvram", {{"template", host.uefi_nvram_template}});
}

void add_features(pugi::xml_node domain, const DomainFacts& facts, const HostFacts& host) {
  pugi::xml_node features = add(domain, "features");
  add(features, "acpi");
  add(features, "apic");
  // VMware's backdoor port, which the emulator answers on unless told: with it, VMware's tools in the guest
  // go on believing that they run on VMware.
  add(features, "vmport", {{"state", "off"}});
  // Secure Boot keeps its variables in memory that only System Management Mode may write.
  bool secure_firmware =
      facts.secure_boot || (facts.firmware == contract::Firmware::kUefi && host.uefi_loader_secure);
  if (secure_firmware) add(features, "smm", {{"state", "on"}});
}

void add_clock(pugi::xml_node domain, const DomainFacts& facts) {
  // Windows keeps local time in the hardware clock, everybody else UTC.
  bool windows = facts.os_id.starts_with("http://microsoft.com/");
  pugi::xml_node clock = add(domain, "clock", {{"offset", windows ? "localtime" : "utc"}});
  add(clock, "timer", {{"name", "rtc"}, {"tickpolicy", "catchup"}});
  add(clock, "timer", {{"name", "pit"}, {"tickpolicy", "delay"}});
  add(clock, "timer", {{"name", "hpet"}, {"present", "no"}});
}

void add_life_cycle(pugi::xml_node domain) {
  add_text(domain, "on_poweroff", "destroy");
  add_text(domain, "on_reboot", "restart");
  add_text(domain, "on_crash", "destroy");
  pugi::xml_node power = add(domain, "pm");
  add(power, "suspend-to-mem", {{"enabled", "no"}});
  add(power, "suspend-to-disk", {{"enabled", "no"}});
}

// The name of the emulator's driver.
const char* driver_name(contract::OutputFormat format) {
  switch (format) {
    case contract::OutputFormat::kQcow2:
      return "qcow2";
    case contract::OutputFormat::kVdi:
      return "vdi";
    case contract::OutputFormat::kRaw:
      break;
  }
  return "raw";
}

// vda, vdb, ... vdz, vdaa, ...
std::string target_name(std::string prefix, std::size_t index) {
  std::string letters;
  for (std::size_t number = index + 1; number > 0; number = (number - 1) / 26)
    letters.insert(letters.begin(), static_cast<char>('a' + (number - 1) % 26));
  return prefix + letters;
}

void add_disk(pugi::xml_node devices, const DomainDisk& disk, std::size_t index, bool virtio) {
  pugi::xml_node node =
      add(devices, "disk", {{"type", disk.block_device ? "block" : "file"}, {"device", "disk"}});
  pugi::xml_node driver = add(node, "driver", {{"name", "qemu"}, {"type", driver_name(disk.format)}});
  if (disk.block_device) {
    driver.append_attribute("cache") = "none";
    driver.append_attribute("io") = "native";
  }
  driver.append_attribute("discard") = "unmap";
  add(node, "source", {{disk.block_device ? "dev" : "file", disk.path.string()}});
  add(node, "target",
      {{"dev", target_name(virtio ? "vd" : "sd", index)}, {"bus", virtio ? "virtio" : "sata"}});
  add(node, "boot", {{"order", std::to_string(index + 1)}});
}

void add_nic(pugi::xml_node devices, const DomainNic& nic, bool virtio) {
  const char* type = !nic.network.empty() ? "network" : !nic.bridge.empty() ? "bridge" : "user";
  pugi::xml_node node = add(devices, "interface", {{"type", type}});
  if (!nic.mac.empty()) add(node, "mac", {{"address", nic.mac}});
  if (!nic.network.empty())
    add(node, "source", {{"network", nic.network}});
  else if (!nic.bridge.empty())
    add(node, "source", {{"bridge", nic.bridge}});
  add(node, "model", {{"type", virtio ? "virtio" : "e1000e"}});
}

void add_console_and_agent(pugi::xml_node devices) {
  add(add(devices, "serial", {{"type", "pty"}}), "target", {{"type", "isa-serial"}, {"port", "0"}});
  add(add(devices, "console", {{"type", "pty"}}), "target", {{"type", "serial"}, {"port", "0"}});
  add(add(devices, "channel", {{"type", "unix"}}), "target",
      {{"type", "virtio"}, {"name", "org.qemu.guest_agent.0"}});
}

void add_screen(pugi::xml_node devices, const HostFacts& host) {
  // A tablet has absolute coordinates, so that the pointer in a viewer is where the guest's is.
  add(devices, "input", {{"type", "tablet"}, {"bus", "usb"}});
  if (host.vnc)
    add(add(devices, "graphics", {{"type", "vnc"}, {"port", "-1"}, {"autoport", "yes"}}), "listen",
        {{"type", "address"}, {"address", "127.0.0.1"}});
  // Every guest has a driver for plain VGA, and every build of the emulator has the card.
  add(add(devices, "video"), "model", {{"type", "vga"}});
}

void add_devices(pugi::xml_node domain, const DomainFacts& facts, const HostFacts& host) {
  pugi::xml_node devices = add(domain, "devices");
  if (!host.emulator.empty()) add_text(devices, "emulator", host.emulator);
  for (std::size_t index = 0; index < facts.disks.size(); ++index)
    add_disk(devices, facts.disks[index], index, facts.virtio);
  add(devices, "controller", {{"type", "usb"}, {"model", "qemu-xhci"}, {"ports", "15"}});
  for (const DomainNic& nic : facts.nics) add_nic(devices, nic, facts.virtio);
  add_console_and_agent(devices);
  add_screen(devices, host);
  if (facts.tpm)
    add(add(devices, "tpm", {{"model", "tpm-crb"}}), "backend", {{"type", "emulator"}, {"version", "2.0"}});
  add(devices, "memballoon", {{"model", "virtio"}});
  add_text(add(devices, "rng", {{"model", "virtio"}}), "backend", "/dev/urandom", {{"model", "random"}});
}

// "hyper2kvm:volume" -> "volume"
std::string_view local_name(std::string_view name) {
  std::size_t colon = name.find(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

bool is_ours(pugi::xml_node node) {
  return local_name(node.name()) == "conversion" &&
         std::ranges::any_of(node.attributes(), [](pugi::xml_attribute attribute) {
           return std::string_view(attribute.name()).starts_with("xmlns") &&
                  std::string_view(attribute.value()) == kOurNamespace;
         });
}

}  // namespace

std::string domain_xml(const DomainFacts& facts, const HostFacts& host,
                       const std::vector<OwnedVolume>& owned_volumes) {
  check(facts, host);
  pugi::xml_document document;
  pugi::xml_node domain = add(document, "domain", {{"type", host.domain_type}});
  add_text(domain, "name", domain_name(facts.name));
  if (!facts.uuid.empty()) add_text(domain, "uuid", facts.uuid);
  if (!facts.title.empty()) add_text(domain, "title", one_line(facts.title, kLongestTitle));
  add_metadata(domain, facts, owned_volumes);
  std::uint64_t kibibytes = (facts.memory_bytes + (1u << 20) - 1) / (1u << 20) * 1024;
  add_text(domain, "memory", std::to_string(kibibytes), {{"unit", "KiB"}});
  add_text(domain, "vcpu", std::to_string(facts.cpus), {{"placement", "static"}});
  add_firmware(domain, facts, host);
  add_features(domain, facts, host);
  add_processors(domain, facts, host);
  add_clock(domain, facts);
  add_life_cycle(domain);
  add_devices(domain, facts, host);
  std::ostringstream text;
  document.save(text, "  ", pugi::format_indent | pugi::format_no_declaration, pugi::encoding_utf8);
  return text.str();
}

std::vector<OwnedVolume> owned_volumes(const std::string& domain_xml) {
  std::vector<OwnedVolume> volumes;
  pugi::xml_document document;
  if (!document.load_string(domain_xml.c_str())) return volumes;
  for (pugi::xml_node part : document.child("domain").child("metadata").children()) {
    if (!is_ours(part)) continue;
    for (pugi::xml_node node : part.children()) {
      OwnedVolume volume{node.attribute("pool").value(), node.attribute("name").value()};
      if (local_name(node.name()) == "volume" && !volume.pool.empty() && !volume.name.empty() &&
          volumes.size() < kMostOwnedVolumes)
        volumes.push_back(std::move(volume));
    }
  }
  return volumes;
}

}  // namespace hyper2kvm::libvirt
