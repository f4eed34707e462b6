#include "runner/libvirt/host.h"

#include <algorithm>
#include <pugixml.hpp>
#include <string_view>

#include "runner/libvirt/text.h"
#include "runner/os/error.h"

namespace hyper2kvm::libvirt {
namespace {

bool is_supported(pugi::xml_node node) {
  return std::string_view(node.attribute("supported").value()) == "yes";
}

// <parent><enum name='NAME'><value>VALUE</value>...
bool lists(pugi::xml_node parent, const char* name, std::string_view value) {
  pugi::xml_node list = parent.find_child_by_attribute("enum", "name", name);
  return std::ranges::any_of(list.children("value"),
                             [&](pugi::xml_node node) { return value == node.text().get(); });
}

bool has_mode(pugi::xml_node cpu, const char* name) {
  return is_supported(cpu.find_child_by_attribute("mode", "name", name));
}

}  // namespace

DomainCapabilities parse_domain_capabilities(const std::string& xml) {
  pugi::xml_document document;
  document.load_string(xml.c_str());
  pugi::xml_node root = document.child("domainCapabilities");
  if (!root)
    throw os::Error(os::ErrorKind::kSystem, "libvirt",
                    "describes the host's capabilities in a form of its own",
                    "Look at the output of `virsh domcapabilities`.");
  DomainCapabilities capabilities;
  capabilities.emulator = root.child("path").text().get();
  pugi::xml_node os = root.child("os");
  capabilities.uefi = lists(os, "firmware", "efi");
  capabilities.secure_uefi = capabilities.uefi && lists(os.child("loader"), "secure", "yes");
  pugi::xml_node devices = root.child("devices");
  // Before libvirt 8 there is no backendVersion; the emulator's TPM is 2.0 there too when asked for.
  pugi::xml_node tpm = devices.child("tpm");
  pugi::xml_node versions = tpm.find_child_by_attribute("enum", "name", "backendVersion");
  capabilities.tpm = is_supported(tpm) && lists(tpm, "backendModel", "emulator") &&
                     (!versions || lists(tpm, "backendVersion", "2.0"));
  capabilities.vnc =
      is_supported(devices.child("graphics")) && lists(devices.child("graphics"), "type", "vnc");
  pugi::xml_node cpu = root.child("cpu");
  capabilities.host_passthrough = has_mode(cpu, "host-passthrough");
  capabilities.host_model = has_mode(cpu, "host-model");
  capabilities.maximum = has_mode(cpu, "maximum");
  return capabilities;
}

DomainType choose_domain_type(bool offered, bool local, const KvmVerdict& verdict) {
  const std::string slow =
      "The machine is registered for software emulation (type qemu), which is many times slower";
  if (!offered) return {"qemu", "libvirt offers no KVM on its host. " + slow + "."};
  if (!local || verdict.answer == KvmVerdict::Answer::kWorks) return {"kvm", ""};
  if (verdict.answer == KvmVerdict::Answer::kUnknown)
    return {"kvm", "KVM could not be tried from here (" + verdict.reason +
                       "); the machine is registered for KVM because libvirt offers it."};
  return {"qemu",
          "libvirt offers KVM, but it does not run a machine here: " + verdict.reason + ". " + slow + "."};
}

HostFacts host_facts(const DomainCapabilities& capabilities, const std::string& domain_type,
                     const DomainFacts& facts) {
  auto refuse = [&](std::string problem, std::string advice) {
    throw os::Error(os::ErrorKind::kInvalid, one_line(facts.name, 200), std::move(problem),
                    std::move(advice));
  };
  if (facts.firmware == contract::Firmware::kUefi && !capabilities.uefi)
    refuse("boots by UEFI, and libvirt's host has no UEFI firmware for virtual machines",
           "Install it there (Debian: ovmf, Fedora and RHEL: edk2-ovmf).");
  if (facts.secure_boot && !capabilities.secure_uefi)
    refuse("uses Secure Boot, and libvirt's host has no firmware that can",
           "Install it there (Debian: ovmf, Fedora and RHEL: edk2-ovmf), or set vm.secureboot to false.");
  if (facts.tpm && !capabilities.tpm)
    refuse("has a TPM, and libvirt's host cannot emulate one",
           "Install it there (Debian: swtpm and swtpm-tools, Fedora and RHEL: swtpm).");
  HostFacts host;
  host.domain_type = domain_type;
  host.vnc = capabilities.vnc;
  bool kvm = domain_type == "kvm";
  if (kvm && capabilities.host_passthrough)
    host.cpu_mode = "host-passthrough";
  else if (kvm && capabilities.host_model)
    host.cpu_mode = "host-model";
  else
    host.cpu_mode = !kvm && capabilities.maximum ? "maximum" : "";
  return host;
}

}  // namespace hyper2kvm::libvirt
