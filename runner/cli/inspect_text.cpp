#include "runner/cli/inspect_text.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "runner/cli/amounts.h"
#include "runner/cli/edits_text.h"
#include "runner/contract/text.h"

namespace hyper2kvm::cli {
namespace {

using nlohmann::json;

const json& at(const json& object, const char* key) {
  static const json nothing;
  if (!object.is_object()) return nothing;
  auto found = object.find(key);
  return found == object.end() ? nothing : *found;
}

std::string text(const json& object, const char* key) {
  return contract::printable(text_in(object, key), 1024);
}

std::string number(const json& object, const char* key) {
  const json& value = at(object, key);
  return value.is_number() ? value.dump() : "";
}

std::string size(const json& object, const char* key) {
  const json& value = at(object, key);
  return value.is_number_unsigned() ? size_text(value.get<std::uint64_t>()) : "";
}

bool flag(const json& object, const char* key) {
  const json& value = at(object, key);
  return value.is_boolean() && value.get<bool>();
}

std::string joined(const std::vector<std::string>& words, const char* between) {
  std::string result;
  for (const std::string& word : words)
    if (!word.empty()) result += (result.empty() ? "" : between) + word;
  return result;
}

std::string list(const json& object, const char* key) {
  std::vector<std::string> words;
  const json& values = at(object, key);
  if (values.is_array())
    for (const json& value : values)
      if (value.is_string()) words.push_back(contract::printable(value.get<std::string>(), 256));
  return joined(words, ", ");
}

std::string with(const std::string& before, const std::string& value, const std::string& after = "") {
  return value.empty() ? "" : before + value + after;
}

std::string line(const char* name, const std::string& value) {
  if (value.empty()) return "";
  std::string label = std::string(name) + ":";
  label.resize(std::max<std::size_t>(label.size() + 1, 16), ' ');
  return "  " + label + value + "\n";
}

std::string machine_text(const json& found) {
  const json& source = at(found, "source");
  const json& vm = at(found, "vm");
  std::string result = "Machine\n";
  result += line("name", joined({text(source, "vm_name"), with("from ", text(source, "provider"))}, " "));
  result +=
      line("hardware",
           joined({with("", number(vm, "cpu"), " CPUs"), with("", number(vm, "mem_gb"), " GiB memory"),
                   with("firmware ", text(vm, "firmware")), flag(vm, "secureboot") ? "Secure Boot" : ""},
                  ", "));
  const json& nics = at(found, "nics");
  if (nics.is_array())
    for (const json& nic : nics)
      result += line("interface",
                     joined({text(nic, "id"), text(nic, "mac"), with("on ", text(nic, "network"))}, " "));
  return result;
}

std::string disks_text(const json& disks) {
  std::string result = "Disks\n";
  if (!disks.is_array()) return result;
  for (const json& disk : disks)
    result += "  " +
              joined({text(disk, "id"), text(disk, "format"),
                      with("", size(disk, "virtual_size_bytes"),
                           with(" in a file of ", size(disk, "file_size_bytes"))),
                      flag(disk, "boots") ? "boots" : ""},
                     "  ") +
              "\n";
  return result;
}

std::string partition_text(const json& partition) {
  return "    " +
         joined({text(partition, "device"), text(partition, "type"), size(partition, "size"),
                 text(partition, "mount_point"), with("label ", text(partition, "label")),
                 with("UUID ", text(partition, "uuid"))},
                "  ") +
         "\n";
}

std::string kernel_text(const json& kernel) {
  std::string missing = list(kernel, "missing_drivers");
  return "    " +
         joined({text(kernel, "version"), flag(kernel, "is_default") ? "boots by default" : "",
                 flag(kernel, "virtio_ready") ? "has virtio" : "lacks virtio" + with(" (", missing, ")")},
                "  ") +
         "\n";
}

std::string guest_text(const json& guest) {
  std::string result = "Guest\n";
  std::string system = text(guest, "pretty_name");
  if (system.empty()) system = joined({text(guest, "distribution"), text(guest, "version")}, " ");
  result +=
      line("system",
           joined({system, text(guest, "architecture"), with("boots by ", text(guest, "firmware"))}, ", "));
  result += line("host name", text(guest, "hostname"));
  result += line("root", text(guest, "root_device"));
  if (at(guest, "roots").size() > 1) result += line("all roots", list(guest, "roots"));
  result += line("boot loader", text(guest, "boot_loader"));
  result += line("initramfs", text(guest, "initramfs_generator"));
  result += line("init", text(guest, "init_system"));
  result += line("network", list(guest, "network_systems"));
  result += line("foreign tools", list(guest, "hypervisor_tools"));
  result += line("packages", text(guest, "package_manager"));
  result += line("SELinux", flag(guest, "selinux") ? "yes" : "");
  result += line("guest agent", flag(guest, "guest_agent") ? "installed" : "not installed");
  const json& partitions = at(guest, "partitions");
  if (partitions.is_array() && !partitions.empty()) {
    result += "  file systems\n";
    for (const json& partition : partitions) result += partition_text(partition);
  }
  const json& kernels = at(guest, "kernels");
  if (kernels.is_array() && !kernels.empty()) {
    result += "  kernels\n";
    for (const json& kernel : kernels) result += kernel_text(kernel);
  }
  return result;
}

}  // namespace

std::string inspect_text(const json& found) {
  std::string result =
      text(found, "input") + "\n\n" + machine_text(found) + "\n" + disks_text(at(found, "disks")) + "\n";
  const json& guest = at(found, "guest");
  if (guest.is_object()) result += guest_text(guest) + "\n";
  std::string problem = text_in(found, "problem");
  if (!problem.empty()) result += "The guest cannot be opened or repaired\n" + indented(problem, "  ") + "\n";
  const json& edits = at(found, "edits");
  if (edits.is_array())
    result += edits.empty() ? "A repair would change nothing\n\n"
                            : "A repair would change\n" + edits_text(edits) + "\n";
  const json& warnings = at(found, "warnings");
  if (warnings.is_array() && !warnings.empty()) {
    result += "Warnings\n";
    for (const json& warning : warnings)
      if (warning.is_string()) result += indented(warning.get<std::string>(), "  ");
    result += "\n";
  }
  result.pop_back();
  return result;
}

}  // namespace hyper2kvm::cli
