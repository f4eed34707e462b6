#include "runner/guest/network/configured_interfaces.h"

#include <algorithm>

#include "runner/guest/network/interface_name.h"
#include "runner/guest/system/identity.h"
#include "runner/guest/system/text.h"

namespace hyper2kvm::guest {
namespace {

constexpr std::size_t kMostFiles = 2000;

class Collector {
 public:
  explicit Collector(GuestRoot& root) : root_(root) {}

  void collect_ifupdown() { read_interfaces("/etc/network/interfaces", 0); }

  void collect_ifcfg() {
    for (const std::string directory : {"/etc/sysconfig/network-scripts", "/etc/sysconfig/network"})
      for (const std::string& name : root_.list(directory)) {
        if (!name.starts_with("ifcfg-") || is_leftover(name)) continue;
        std::string path = directory + "/" + name;
        std::optional<std::string> text = read(path);
        if (!text) continue;
        auto values = parse_assignments(*text);
        std::string device = values["DEVICE"].empty() ? name.substr(6) : values["DEVICE"];
        std::string type = lower(values["TYPE"]);
        if (!type.empty() && type != "ethernet") continue;
        note(device, path, values["HWADDR"]);
        // SUSE: the cards below a bond or a bridge.
        for (const auto& [key, value] : values)
          if (key.starts_with("BONDING_SLAVE") || key == "BRIDGE_PORTS" || key == "ETHERDEVICE")
            for (std::string_view word : words_of(value)) note(std::string(word), path, "");
      }
  }

  void collect_networkmanager() {
    for (const std::string directory :
         {"/etc/NetworkManager/system-connections", "/usr/lib/NetworkManager/system-connections"})
      for (const std::string& name : root_.list(directory)) {
        std::string path = directory + "/" + name;
        std::optional<std::string> text = read(path);
        if (!text) continue;
        auto sections = parse_sections(*text);
        std::string interface = sections["connection"]["interface-name"];
        std::string type = sections["connection"]["type"];
        std::string mac = sections["ethernet"]["mac-address"];
        if (mac.empty()) mac = sections["802-3-ethernet"]["mac-address"];
        if (type == "vlan") {
          note(sections["vlan"]["parent"], path, "");
        } else if (type.empty() || type == "ethernet" || type == "802-3-ethernet") {
          note(interface, path, mac);
        }
      }
  }

  void collect_networkd() {
    for (const std::string directory :
         {"/etc/systemd/network", "/run/systemd/network", "/usr/lib/systemd/network"})
      for (const std::string& name : root_.list(directory)) {
        bool network = name.ends_with(".network");
        if (!network && !name.ends_with(".link")) continue;
        std::string path = directory + "/" + name;
        std::optional<std::string> text = read(path);
        if (!text) continue;
        auto sections = parse_sections(*text);
        std::string mac = normalised_mac(sections["Match"]["MACAddress"]);
        if (mac.empty()) mac = normalised_mac(sections["Match"]["PermanentMACAddress"]);
        if (network) {
          for (std::string_view word : words_of(sections["Match"]["Name"]))
            note(std::string(word), path, mac);
        } else if (!sections["Link"]["Name"].empty() && !mac.empty()) {
          note(sections["Link"]["Name"], path, mac);
        }
      }
  }

  // The names below "ethernets:", found by their indentation, and what each one's match says.
  void collect_netplan() {
    for (const std::string directory : {"/etc/netplan", "/run/netplan", "/lib/netplan"})
      for (const std::string& name : root_.list(directory)) {
        if (!name.ends_with(".yaml")) continue;
        std::string path = directory + "/" + name;
        std::optional<std::string> text = read(path);
        if (text) read_netplan(*text, path);
      }
  }

  void collect_rules() {
    for (const PersistentNetRule& rule : parse_persistent_net_rules(read(kPersistentNetRules).value_or("")))
      if (auto found = interfaces_.find(rule.name); found != interfaces_.end() && found->second.mac.empty())
        found->second.mac = rule.mac;
  }

  std::map<std::string, ConfiguredInterface> take() { return std::move(interfaces_); }

 private:
  static bool is_leftover(const std::string& name) {
    for (std::string_view suffix : {"~", ".bak", ".old", ".orig", ".rpmnew", ".rpmorig", ".rpmsave"})
      if (name.ends_with(suffix)) return true;
    return false;
  }

  std::optional<std::string> read(const std::string& path) {
    if (++files_ > kMostFiles) return std::nullopt;
    return root_.read_if_sane(path, std::size_t{1} << 20);
  }

  void note(const std::string& name, const std::string& file, const std::string& mac) {
    std::string base = base_interface(name);
    if (!is_safe_interface_name(base)) return;
    std::string address = normalised_mac(mac);
    std::optional<InterfaceName> parsed = parse_interface_name(base);
    if (!parsed && address.empty()) return;
    if (parsed && parsed->kind == NamingKind::kMac && address.empty()) address = parsed->mac;
    ConfiguredInterface& interface = interfaces_[base];
    if (interface.mac.empty()) interface.mac = address;
    if (std::find(interface.files.begin(), interface.files.end(), file) == interface.files.end())
      interface.files.push_back(file);
  }

  void read_interfaces(const std::string& path, int depth) {
    if (depth > 5) return;
    std::optional<std::string> text = read(path);
    if (!text) return;
    for (std::string_view line : lines_of(*text)) {
      std::vector<std::string_view> words = words_of(line);
      if (words.size() < 2 || words[0].starts_with('#')) continue;
      if (words[0] == "iface") {
        note(std::string(words[1]), path, "");
      } else if (words[0] == "auto" || words[0].starts_with("allow-") || words[0] == "bond-slaves" ||
                 words[0] == "slaves" || words[0] == "bridge_ports" || words[0] == "bridge-ports" ||
                 words[0] == "vlan-raw-device" || words[0] == "vlan_raw_device" ||
                 words[0] == "bond-primary") {
        for (std::size_t index = 1; index < words.size(); ++index) note(std::string(words[index]), path, "");
      } else if (words[0] == "source" || words[0] == "source-directory") {
        include(std::string(words[1]), words[0] == "source-directory", depth);
      }
    }
  }

  void include(std::string pattern, bool whole_directory, int depth) {
    if (!pattern.starts_with('/')) pattern = "/etc/network/" + pattern;
    std::size_t star = pattern.find('*');
    if (whole_directory || star != std::string::npos) {
      std::string directory = whole_directory ? pattern : pattern.substr(0, pattern.rfind('/', star));
      std::string suffix = whole_directory ? "" : pattern.substr(star + 1);
      if (suffix.find_first_of("*?[/") != std::string::npos) suffix.clear();
      for (const std::string& name : root_.list(directory))
        if (name.ends_with(suffix) && root_.is_file(directory + "/" + name))
          read_interfaces(directory + "/" + name, depth + 1);
    } else if (root_.is_file(pattern)) {
      read_interfaces(pattern, depth + 1);
    }
  }

  static std::map<std::string, std::map<std::string, std::string>> parse_sections(std::string_view text) {
    std::map<std::string, std::map<std::string, std::string>> sections;
    std::string section;
    for (std::string_view line : lines_of(text)) {
      line = trim(line);
      if (line.empty() || line.front() == '#' || line.front() == ';') continue;
      if (line.front() == '[' && line.back() == ']') {
        section = line.substr(1, line.size() - 2);
        continue;
      }
      std::size_t equals = line.find('=');
      if (equals == std::string_view::npos) continue;
      std::string& value = sections[section][std::string(trim(line.substr(0, equals)))];
      if (!value.empty()) value += ' ';
      value += trim(line.substr(equals + 1));
    }
    return sections;
  }

  void read_netplan(const std::string& text, const std::string& path) {
    // Stack of (indentation, key) of the lines that enclose the current one.
    std::vector<std::pair<std::size_t, std::string>> above;
    struct Device {
      std::string mac, name;
    };
    std::map<std::string, Device> devices;
    for (std::string_view line : lines_of(text)) {
      std::size_t indentation = line.find_first_not_of(' ');
      if (indentation == std::string_view::npos || line[indentation] == '#' || line[indentation] == '-')
        continue;
      std::string_view body = line.substr(indentation);
      std::size_t colon = body.find(':');
      // A MAC address is no key, and a key of several colons is quoted.
      if (colon == std::string_view::npos) continue;
      std::string key = unquote(body.substr(0, colon));
      std::string value = unquote(trim(body.substr(colon + 1)));
      while (!above.empty() && above.back().first >= indentation) above.pop_back();
      bool in_ethernets = above.size() >= 2 && above[0].second == "network" && above[1].second == "ethernets";
      if (in_ethernets && above.size() == 2) devices[key];
      if (in_ethernets && above.size() == 3 && key == "set-name") devices[above[2].second].name = value;
      if (in_ethernets && above.size() == 3 && key == "match") {
        // match: {macaddress: "..."} on one line.
        std::size_t at = value.find("macaddress:");
        if (at != std::string::npos)
          devices[above[2].second].mac = normalised_mac(unquote(
              trim(std::string_view(value).substr(at + 11, value.find_first_of(",}", at) - at - 11))));
      }
      if (in_ethernets && above.size() == 4 && above[3].second == "match") {
        if (key == "macaddress") devices[above[2].second].mac = normalised_mac(value);
        if (key == "name") devices[above[2].second].name = value;
      }
      above.emplace_back(indentation, key);
    }
    for (const auto& [id, device] : devices) {
      // With a match, the id is a mere label.
      if (!device.name.empty())
        note(device.name, path, device.mac);
      else if (device.mac.empty())
        note(id, path, "");
    }
  }

  static std::string unquote(std::string_view text) {
    text = trim(text);
    if (std::size_t comment = text.find(" #"); comment != std::string_view::npos)
      text = trim(text.substr(0, comment));
    if (text.size() >= 2 && (text.front() == '"' || text.front() == '\'') && text.back() == text.front())
      text = text.substr(1, text.size() - 2);
    return std::string(text);
  }

  GuestRoot& root_;
  std::map<std::string, ConfiguredInterface> interfaces_;
  std::size_t files_ = 0;
};

// The value after KEY== or KEY= in a udev rule.
std::string rule_value(std::string_view line, std::string_view key) {
  std::size_t at = line.find(key);
  if (at == std::string_view::npos) return "";
  std::string_view rest = line.substr(at + key.size());
  std::size_t open = rest.find('"');
  if (open == std::string_view::npos || open > 2) return "";
  rest.remove_prefix(open + 1);
  return std::string(rest.substr(0, rest.find('"')));
}

}  // namespace

std::map<std::string, ConfiguredInterface> find_configured_interfaces(GuestRoot& root) {
  Collector collector(root);
  collector.collect_ifupdown();
  collector.collect_ifcfg();
  collector.collect_networkmanager();
  collector.collect_networkd();
  collector.collect_netplan();
  collector.collect_rules();
  return collector.take();
}

std::vector<PersistentNetRule> parse_persistent_net_rules(std::string_view text) {
  std::vector<PersistentNetRule> rules;
  for (std::string_view line : lines_of(text)) {
    if (trim(line).empty() || trim(line).starts_with('#')) continue;
    PersistentNetRule rule;
    rule.line = line;
    std::string mac = rule_value(line, "ATTR{address}");
    if (mac.empty()) mac = rule_value(line, "ATTRS{address}");
    if (mac.empty()) mac = rule_value(line, "SYSFS{address}");
    rule.mac = normalised_mac(mac);
    std::size_t name = line.rfind("NAME");
    if (name != std::string_view::npos) rule.name = rule_value(line.substr(name), "NAME");
    if (!rule.mac.empty() && !rule.name.empty()) rules.push_back(std::move(rule));
  }
  return rules;
}

}  // namespace hyper2kvm::guest
