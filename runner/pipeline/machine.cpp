#include "runner/pipeline/machine.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace hyper2kvm::pipeline {
namespace {

struct Family {
  std::string_view distribution;  // ID of os-release
  std::string_view prefix;        // of the libosinfo identifier
  bool major_only;                // libosinfo counts major versions only
};

// Source: the os identifiers of osinfo-db.
constexpr std::array<Family, 12> kFamilies{{
    {"debian", "http://debian.org/debian/", true},
    {"ubuntu", "http://ubuntu.com/ubuntu/", false},
    {"rhel", "http://redhat.com/rhel/", false},
    {"centos", "http://centos.org/centos/", false},
    {"rocky", "http://rockylinux.org/rocky/", true},
    {"almalinux", "http://almalinux.org/almalinux/", true},
    {"ol", "http://oracle.com/ol/", false},
    {"fedora", "http://fedoraproject.org/fedora/", true},
    {"sles", "http://suse.com/sle/", false},
    {"opensuse-leap", "http://opensuse.org/opensuse/", false},
    {"alpine", "http://alpinelinux.org/alpinelinux/", false},
    {"amzn", "http://amazon.com/amzn/", true},
}};

// kUnknown where neither says.
contract::Firmware known_firmware(const contract::Manifest& manifest,
                                  const std::optional<guest::Inspection>& inspection) {
  if (manifest.vm.firmware != contract::Firmware::kUnknown) return manifest.vm.firmware;
  if (inspection && inspection->firmware == "uefi") return contract::Firmware::kUefi;
  if (inspection && inspection->firmware == "bios") return contract::Firmware::kBios;
  return contract::Firmware::kUnknown;
}

contract::Firmware firmware_of(const contract::Manifest& manifest,
                               const std::optional<guest::Inspection>& inspection, Record& record) {
  contract::Firmware known = known_firmware(manifest, inspection);
  if (known != contract::Firmware::kUnknown) return known;
  record.warning("register",
                 "The firmware of the machine is not known, so it is registered with BIOS. Set vm.firmware "
                 "to uefi if it does not start.");
  return contract::Firmware::kBios;
}

}  // namespace

std::string machine_name(const contract::Manifest& manifest) {
  if (manifest.libvirt && !manifest.libvirt->name.empty()) return manifest.libvirt->name;
  return manifest.source.vm_name.empty() ? "vm" : manifest.source.vm_name;
}

std::vector<std::size_t> boot_disk_first(const contract::Manifest& manifest) {
  std::vector<std::size_t> order = {manifest.boot_disk()};
  for (std::size_t index = 0; index < manifest.disks.size(); ++index)
    if (index != order.front()) order.push_back(index);
  return order;
}

std::string libosinfo_id(const std::string& distribution, const std::string& version) {
  if (distribution == "arch") return "http://archlinux.org/archlinux/rolling";
  auto family = std::find_if(kFamilies.begin(), kFamilies.end(),
                             [&](const Family& each) { return each.distribution == distribution; });
  bool plain_version = !version.empty() && version.find_first_not_of("0123456789.") == std::string::npos;
  if (family == kFamilies.end() || !plain_version) return "";
  return std::string(family->prefix) + (family->major_only ? version.substr(0, version.find('.')) : version);
}

libvirt::DomainFacts machine_of(const contract::Manifest& manifest,
                                const std::vector<std::filesystem::path>& published,
                                const std::optional<guest::Inspection>& inspection, Record& record) {
  libvirt::DomainFacts facts;
  facts.name = machine_name(manifest);
  facts.cpus = manifest.vm.cpu.value_or(facts.cpus);
  if (manifest.vm.mem_gb) facts.memory_bytes = static_cast<std::uint64_t>(*manifest.vm.mem_gb) << 30;
  if (!manifest.vm.cpu || !manifest.vm.mem_gb)
    record.warning(
        "register",
        "The input does not say how many CPUs or how much memory the machine has, so it is registered with " +
            std::to_string(facts.cpus) + " CPUs and " + std::to_string(facts.memory_bytes >> 30) +
            " GiB. Set vm.cpu and vm.mem_gb to change that.");
  facts.firmware = firmware_of(manifest, inspection, record);
  facts.secure_boot = manifest.vm.secureboot;
  if (inspection) facts.os_id = libosinfo_id(inspection->distribution, inspection->version);
  facts.title = manifest.source.provider.empty() ? "" : "Converted from " + manifest.source.provider;

  for (std::size_t index : boot_disk_first(manifest))
    facts.disks.push_back(
        {published[index], manifest.output.format, std::filesystem::is_block_file(published[index])});

  const contract::Libvirt settings = manifest.libvirt.value_or(contract::Libvirt{});
  for (const contract::Nic& nic : manifest.nics)
    facts.nics.push_back({nic.mac, settings.network, settings.bridge});
  // A source's network names mean nothing on this host; where nobody says another, libvirt's own default
  // network is what people expect, but for a driver without one (embedded, session) the interface is
  // user-mode.
  bool has_networks =
      settings.uri.rfind("qemu:///embed", 0) != 0 && settings.uri.rfind("qemu:///session", 0) != 0;
  for (libvirt::DomainNic& nic : facts.nics)
    if (nic.network.empty() && nic.bridge.empty() && has_networks) nic.network = "default";
  return facts;
}

contract::MachineFacts facts_of(const contract::Manifest& manifest,
                                const std::optional<guest::Inspection>& inspection, bool virtio) {
  contract::MachineFacts facts;
  facts.name = machine_name(manifest);
  facts.cpus = manifest.vm.cpu.value_or(0);
  facts.mem_gb = manifest.vm.mem_gb.value_or(0);
  facts.firmware = known_firmware(manifest, inspection);
  facts.secure_boot = manifest.vm.secureboot;
  facts.virtio = virtio;
  facts.nics = manifest.nics;
  facts.total_nics = manifest.nics.size();
  if (!inspection) return facts;
  facts.os_type = inspection->os_type;
  facts.distribution = inspection->distribution;
  facts.version = inspection->version;
  facts.pretty_name = inspection->pretty_name;
  facts.hostname = inspection->hostname;
  facts.architecture = inspection->architecture;
  return facts;
}

}  // namespace hyper2kvm::pipeline
