// The manifest's `configuration`, applied to a Linux guest's files.
#include <algorithm>

#include "runner/guest/repair/repair.h"
#include "runner/guest/repair/users.h"
#include "runner/guest/system/services.h"
#include "runner/guest/system/text.h"
#include "runner/os/error.h"

namespace hyper2kvm::guest {
namespace {

constexpr char kReason[] = "The manifest's configuration asks for it.";

void set_hostname(Repair& repair, const std::string& hostname) {
  bool valid = hostname.size() <= 64 && hostname.front() != '-' && hostname.front() != '.' &&
               std::all_of(hostname.begin(), hostname.end(),
                           [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '.'; });
  if (!valid)
    throw os::Error(os::ErrorKind::kInvalid, "configuration.hostname", "\"" + hostname + "\" is no host name",
                    "Use letters, digits, dots and dashes, at most 64 of them.");
  std::string old = repair.inspection.hostname;
  repair.root.write("/etc/hostname", hostname + "\n", kReason);
  if (repair.root.is_file("/etc/HOSTNAME") &&
      repair.root.link_status("/etc/HOSTNAME").kind == NodeKind::kFile)
    repair.root.write("/etc/HOSTNAME", hostname + "\n", kReason);
  if (auto text = repair.root.read_if_sane("/etc/sysconfig/network");
      text && text->find("HOSTNAME=") != std::string::npos) {
    std::string result;
    for (std::string_view line : lines_of(*text))
      result += (line.starts_with("HOSTNAME=") ? "HOSTNAME=" + hostname : std::string(line)) + "\n";
    repair.root.write("/etc/sysconfig/network", result, kReason);
  }
  // The own name in /etc/hosts, where it stands alone as a word.
  std::optional<std::string> hosts = repair.root.read_if_sane("/etc/hosts");
  if (!hosts || old.empty() || old == "localhost") return;
  std::string result;
  for (std::string_view line : lines_of(*hosts)) {
    std::string out(line);
    if (line.starts_with("127.0.1.1") || line.starts_with("127.0.0.1") || line.starts_with("::1")) {
      std::size_t at = 0;
      while ((at = out.find(old, at)) != std::string::npos) {
        bool begins = at > 0 && (out[at - 1] == ' ' || out[at - 1] == '\t');
        std::size_t end = at + old.size();
        bool ends = end == out.size() || out[end] == ' ' || out[end] == '\t' || out[end] == '.';
        if (begins && ends) out.replace(at, old.size(), hostname);
        at += std::max<std::size_t>(1, begins && ends ? hostname.size() : 1);
      }
    }
    result += out + "\n";
  }
  repair.root.write("/etc/hosts", result, kReason);
}

void set_services(Repair& repair, const contract::GuestServices& services) {
  for (const std::string& name : services.enable) {
    if (!has_service(repair.root, name))
      repair.root.warn("configuration.services.enable: the guest has no service " + name + ".");
    else
      enable_service(repair.root, name, kReason);
  }
  for (const std::string& name : services.disable) {
    if (!has_service(repair.root, name))
      repair.root.warn("configuration.services.disable: the guest has no service " + name + ".");
    else
      disable_service(repair.root, name, kReason);
  }
}

void write_network_files(Repair& repair, const std::map<std::string, std::string>& files) {
  for (const auto& [path, text] : files) {
    if (!path.starts_with('/') || path.find("/../") != std::string::npos || path.ends_with('/'))
      throw os::Error(os::ErrorKind::kInvalid, "configuration.network",
                      "\"" + path + "\" is no path of a file",
                      "Use an absolute path below the guest's root.");
    // Both refuse to read a file that others could read.
    bool secret =
        path.starts_with("/etc/NetworkManager/system-connections/") || path.starts_with("/etc/netplan/");
    repair.root.write(path, text, kReason, {.mode = secret ? mode_t{0600} : mode_t{0644}});
  }
}

}  // namespace

void apply_configuration(Repair& repair) {
  const contract::GuestConfiguration& configuration = repair.request.configuration;
  if (!configuration.hostname.empty()) set_hostname(repair, configuration.hostname);
  apply_users(repair);
  set_services(repair, configuration.services);
  write_network_files(repair, configuration.network_files);
}

}  // namespace hyper2kvm::guest
