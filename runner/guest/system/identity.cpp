#include "runner/guest/system/identity.h"

#include <array>
#include <cctype>
#include <optional>

#include "runner/guest/system/text.h"

namespace hyper2kvm::guest {
namespace {

// The older relatives of os-release: a line such as "CentOS release 6.10 (Final)".
struct ReleaseFile {
  const char* path;
  const char* id;
};
constexpr ReleaseFile kReleaseFiles[] = {
    {"/etc/oracle-release", "ol"},           {"/etc/centos-release", "centos"},
    {"/etc/fedora-release", "fedora"},       {"/etc/system-release", ""},
    {"/etc/redhat-release", "rhel"},         {"/etc/SuSE-release", "sles"},
    {"/etc/alpine-release", "alpine"},       {"/etc/arch-release", "arch"},
    {"/etc/debian_version", "debian"},       {"/etc/gentoo-release", "gentoo"},
    {"/etc/slackware-version", "slackware"},
};

std::string first_number(std::string_view line) {
  std::size_t begin = line.find_first_of("0123456789");
  if (begin == std::string_view::npos) return "";
  std::size_t end = line.find_first_not_of("0123456789.", begin);
  return std::string(line.substr(begin, end == std::string_view::npos ? end : end - begin));
}

std::string guess_id(std::string_view line) {
  struct Known {
    std::string_view name;
    const char* id;
  };
  for (Known known : std::initializer_list<Known>{{"CentOS", "centos"},
                                                  {"Red Hat", "rhel"},
                                                  {"Fedora", "fedora"},
                                                  {"Oracle", "ol"},
                                                  {"Amazon", "amzn"},
                                                  {"Rocky", "rocky"},
                                                  {"AlmaLinux", "almalinux"},
                                                  {"Scientific", "scientific"},
                                                  {"openSUSE", "opensuse"},
                                                  {"SUSE", "sles"}})
    if (line.find(known.name) != std::string_view::npos) return known.id;
  return "";
}

void identify_distribution(GuestRoot& root, Inspection& inspection) {
  std::optional<std::string> release = root.read_if_sane("/etc/os-release");
  if (!release) release = root.read_if_sane("/usr/lib/os-release");
  if (release) {
    auto values = parse_assignments(*release);
    inspection.distribution = values["ID"];
    inspection.version = values["VERSION_ID"];
    inspection.pretty_name = values["PRETTY_NAME"].empty() ? values["NAME"] : values["PRETTY_NAME"];
  }
  if (inspection.distribution.empty())
    for (const ReleaseFile& file : kReleaseFiles) {
      std::optional<std::string> text = root.read_if_sane(file.path);
      if (!text) continue;
      std::string line = first_line(*text);
      std::string guessed = guess_id(line);
      inspection.distribution = guessed.empty() ? file.id : guessed;
      inspection.version = first_number(line);
      inspection.pretty_name = inspection.distribution == "debian" ? "Debian GNU/Linux " + line : line;
      if (inspection.pretty_name.empty()) inspection.pretty_name = inspection.distribution;
      break;
    }
  // lsb-release wins over debian_version on old Ubuntu.
  if (!release)
    if (auto lsb = root.read_if_sane("/etc/lsb-release")) {
      auto values = parse_assignments(*lsb);
      if (!values["DISTRIB_ID"].empty()) {
        inspection.distribution = lower(values["DISTRIB_ID"]);
        inspection.version = values["DISTRIB_RELEASE"];
        inspection.pretty_name = values["DISTRIB_DESCRIPTION"];
      }
    }
  // A minor version is worth having where os-release leaves it out ("12" on Debian 12.5).
  if (inspection.distribution == "debian" && inspection.version.empty())
    if (auto text = root.read_if_sane("/etc/debian_version")) inspection.version = first_line(*text);
}

std::string identify_hostname(GuestRoot& root) {
  if (auto text = root.read_if_sane("/etc/hostname"))
    for (std::string_view line : lines_of(*text))
      if (!trim(line).empty() && !trim(line).starts_with('#')) return std::string(trim(line));
  if (auto text = root.read_if_sane("/etc/HOSTNAME")) return first_line(*text);
  if (auto text = root.read_if_sane("/etc/sysconfig/network")) return parse_assignments(*text)["HOSTNAME"];
  return "";
}

// From the ELF header of a program that every system has.
std::string identify_architecture(GuestRoot& root) {
  for (const char* program : {"/sbin/init", "/usr/lib/systemd/systemd", "/lib/systemd/systemd",
                              "/bin/busybox", "/bin/sh", "/bin/bash", "/usr/bin/env"}) {
    std::optional<GuestFile> file;
    try {
      file = root.open(program);
    } catch (const os::Error&) {
      continue;
    }
    if (!file) continue;
    std::array<std::byte, 20> header{};
    if (file->read_at(0, header) != header.size()) continue;
    auto byte = [&header](std::size_t at) { return std::to_integer<unsigned>(header[at]); };
    if (byte(0) != 0x7f || byte(1) != 'E' || byte(2) != 'L' || byte(3) != 'F') continue;
    bool big_endian = byte(5) == 2;
    unsigned machine = big_endian ? byte(18) << 8 | byte(19) : byte(19) << 8 | byte(18);
    switch (machine) {
      case 62:
        return "x86_64";
      case 3:
        return "i686";
      case 183:
        return "aarch64";
      case 40:
        return "armv7l";
      case 21:
        return big_endian ? "ppc64" : "ppc64le";
      case 22:
        return "s390x";
      case 243:
        return "riscv64";
      default:
        return "machine " + std::to_string(machine);
    }
  }
  return "";
}

std::string identify_init(GuestRoot& root) {
  if (root.is_file("/usr/lib/systemd/systemd") || root.is_file("/lib/systemd/systemd")) {
    // Installed beside another one (Debian's sysvinit users): what /sbin/init is, decides.
    std::string init = root.resolve("/sbin/init");
    if (init.find("systemd") != std::string::npos || !root.is_file("/sbin/init") ||
        !root.is_file("/etc/inittab"))
      return "systemd";
  }
  if (root.is_file("/sbin/openrc-init") || root.is_file("/sbin/openrc") || root.is_file("/usr/sbin/openrc"))
    return "openrc";
  if (root.is_file("/sbin/initctl") && root.is_directory("/etc/init")) return "upstart";
  if (root.is_directory("/etc/init.d") || root.is_directory("/etc/rc.d")) return "sysvinit";
  return "";
}

bool any_file(const GuestRoot& root, std::string_view directory, std::string_view suffix) {
  for (const std::string& name : root.list(directory))
    if (name.ends_with(suffix)) return true;
  return false;
}

void identify_network(GuestRoot& root, Inspection& inspection) {
  auto add = [&inspection](const char* name) { inspection.network_systems.emplace_back(name); };
  if (any_file(root, "/etc/netplan", ".yaml")) add("netplan");
  if (any_file(root, "/etc/systemd/network", ".network")) add("systemd-networkd");
  if (root.is_file("/usr/sbin/NetworkManager") || root.is_file("/usr/bin/NetworkManager"))
    add("networkmanager");
  if (root.is_file("/etc/network/interfaces")) add("ifupdown");
  bool ifcfg = false;
  for (const char* directory : {"/etc/sysconfig/network-scripts", "/etc/sysconfig/network"})
    for (const std::string& name : root.list(directory))
      if (name.starts_with("ifcfg-") && name != "ifcfg-lo") ifcfg = true;
  if (root.is_file("/usr/sbin/wicked")) add("wicked");
  if (ifcfg) add("sysconfig");
}

std::string identify_package_manager(GuestRoot& root) {
  struct Manager {
    const char* path;
    const char* name;
  };
  for (Manager manager : std::initializer_list<Manager>{{"/usr/bin/apt-get", "apt"},
                                                        {"/usr/bin/dnf", "dnf"},
                                                        {"/usr/bin/dnf-3", "dnf"},
                                                        {"/usr/bin/yum", "yum"},
                                                        {"/usr/bin/zypper", "zypper"},
                                                        {"/usr/bin/pacman", "pacman"},
                                                        {"/sbin/apk", "apk"},
                                                        {"/usr/bin/emerge", "portage"},
                                                        {"/usr/bin/xbps-install", "xbps"}})
    if (root.is_file(manager.path)) return manager.name;
  return "";
}

}  // namespace

bool looks_like_linux(const GuestRoot& root) {
  bool release = root.status("/etc/os-release").kind == NodeKind::kFile ||
                 root.status("/usr/lib/os-release").kind == NodeKind::kFile || root.is_file("/etc/fstab");
  for (const ReleaseFile& file : kReleaseFiles) release = release || root.is_file(file.path);
  // /usr may be a file system of its own, so /etc must be enough beside a place for programs.
  bool programs = root.link_status("/bin").kind != NodeKind::kAbsent && root.is_directory("/usr") &&
                  root.link_status("/sbin").kind != NodeKind::kAbsent;
  return release && programs && root.is_file("/etc/passwd");
}

void identify(GuestRoot& root, Inspection& inspection) {
  inspection.os_type = "linux";
  identify_distribution(root, inspection);
  inspection.hostname = identify_hostname(root);
  inspection.architecture = identify_architecture(root);
  inspection.init_system = identify_init(root);
  identify_network(root, inspection);
  inspection.package_manager = identify_package_manager(root);
  if (auto text = root.read_if_sane("/etc/selinux/config")) {
    std::string state = lower(parse_assignments(*text)["SELINUX"]);
    inspection.selinux = state == "enforcing" || state == "permissive";
  }
  for (const char* agent : {"/usr/sbin/qemu-ga", "/usr/bin/qemu-ga"})
    if (root.is_file(agent)) inspection.guest_agent = true;
}

std::map<std::string, std::string> parse_assignments(std::string_view text) {
  std::map<std::string, std::string> values;
  for (std::string_view line : lines_of(text)) {
    line = trim(line);
    if (line.starts_with("export ")) line = trim(line.substr(7));
    std::size_t equals = line.find('=');
    if (line.empty() || line.front() == '#' || equals == std::string_view::npos) continue;
    std::string_view key = trim(line.substr(0, equals));
    std::string_view rest = line.substr(equals + 1);
    std::string value;
    char quote = '\0';
    for (std::size_t at = 0; at < rest.size(); ++at) {
      char c = rest[at];
      if (c == '\\' && quote != '\'' && at + 1 < rest.size()) {
        value += rest[++at];
      } else if (quote != '\0') {
        if (c == quote)
          quote = '\0';
        else
          value += c;
      } else if (c == '"' || c == '\'') {
        quote = c;
      } else if (c == ' ' || c == '\t' || c == '#') {
        break;
      } else {
        value += c;
      }
    }
    values[std::string(key)] = value;
  }
  return values;
}

}  // namespace hyper2kvm::guest
