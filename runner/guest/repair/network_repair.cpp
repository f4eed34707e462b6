// Every network card keeps the name that the guest's configuration knows it by.
//
// The card's MAC address goes with the machine, so its name is pinned to it: a systemd .link file, or a udev
// rule where udev is older than those. Which name belongs to which address is told by the guest's own files
// where they say so, and otherwise by the order of the names (see interface_name.h), which is that of the
// machine's cards.
#include <algorithm>
#include <set>

#include "runner/guest/network/configured_interfaces.h"
#include "runner/guest/network/interface_name.h"
#include "runner/guest/repair/repair.h"
#include "runner/guest/system/text.h"

namespace hyper2kvm::guest {
namespace {

struct Pin {
  std::string name;
  std::string mac;  // "" for the only card of a machine whose manifest does not know its address
};

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::vector<Pin> assign(Repair& repair, const std::map<std::string, ConfiguredInterface>& interfaces) {
  std::vector<std::string> macs;
  for (const contract::Nic& nic : repair.request.nics)
    if (std::string mac = normalised_mac(nic.mac); !mac.empty()) macs.push_back(mac);
  std::vector<Pin> pins;
  std::set<std::string> taken;
  std::vector<std::string> unassigned;
  for (const auto& [name, interface] : interfaces) {
    bool known = std::find(macs.begin(), macs.end(), interface.mac) != macs.end();
    if (!interface.mac.empty() && known && taken.insert(interface.mac).second) {
      pins.push_back({name, interface.mac});
    } else if (parse_interface_name(name)) {
      // An address that is none of the machine's cards' is that of a card it once had.
      unassigned.push_back(name);
    }
  }
  if (unassigned.empty()) return pins;
  std::vector<std::string> free;
  for (const std::string& mac : macs)
    if (!taken.contains(mac)) free.push_back(mac);
  std::stable_sort(unassigned.begin(), unassigned.end(), [](const std::string& a, const std::string& b) {
    return parse_interface_name(a)->rank < parse_interface_name(b)->rank;
  });
  if (macs.empty()) {
    // One card and one name need no address to find each other.
    if (unassigned.size() == 1 && repair.request.nics.size() <= 1) {
      pins.push_back({unassigned[0], ""});
    } else {
      repair.root.warn("The manifest gives no MAC addresses of network cards, so the interfaces " +
                       join(unassigned) + " may have other names after the conversion.");
    }
    return pins;
  }
  std::set<NamingKind> kinds;
  for (const std::string& name : unassigned) kinds.insert(parse_interface_name(name)->kind);
  if (kinds.size() > 1) {
    repair.root.warn("The guest names network cards in several ways (" + join(unassigned) +
                     "), so it is not certain which name belongs to which card; they were not pinned.");
    return pins;
  }
  if (unassigned.size() > free.size())
    repair.root.warn("The guest's network configuration names more cards (" + join(unassigned) +
                     ") than the " + "manifest has left to give (" + std::to_string(free.size()) +
                     "); the first ones were assigned in order.");
  if (unassigned.size() < free.size())
    repair.root.warn(
        "The machine has more network cards than the guest's configuration names (" + join(unassigned) +
        "); they were assigned in order, which may be wrong where the first card is not configured.");
  for (std::size_t index = 0; index < std::min(unassigned.size(), free.size()); ++index)
    pins.push_back({unassigned[index], free[index]});
  return pins;
}

// udev understands .link files where systemd's own default one is installed, and gives them the last word
// where it has no generator of persistent rules.
bool has_link_files(const GuestRoot& root) {
  bool links = false;
  bool generator = false;
  for (const std::string directory : {"/usr/lib", "/lib"}) {
    links = links || root.is_file(directory + "/systemd/network/99-default.link");
    generator = generator || root.is_file(directory + "/udev/rules.d/75-persistent-net-generator.rules");
  }
  return links && !generator;
}

void pin_with_link_files(Repair& repair, const std::vector<Pin>& pins) {
  for (const Pin& pin : pins) {
    std::string path = "/etc/systemd/network/10-hyper2kvm-" + pin.name + ".link";
    // Type keeps bonds, bridges and VLANs out, which have the address of a card below them.
    std::string text = "[Match]\n" +
                       (pin.mac.empty() ? "Driver=virtio_net\n" : "MACAddress=" + pin.mac + "\n") +
                       "Type=ether\n\n[Link]\nName=" + pin.name + "\n";
    repair.root.write(path, text, "The network card keeps the name that the configuration knows it by.");
    repair.image_files[path.substr(1)] = text;
  }
}

void pin_with_rules(Repair& repair, const std::vector<Pin>& pins, const std::string& kept) {
  std::string text = kept;
  if (!text.empty() && text.back() != '\n') text += '\n';
  std::vector<PersistentNetRule> rules = parse_persistent_net_rules(text);
  for (const Pin& pin : pins) {
    bool there = std::any_of(rules.begin(), rules.end(), [&pin](const PersistentNetRule& rule) {
      return rule.mac == pin.mac && rule.name == pin.name;
    });
    if (there) continue;
    text += "SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", " +
            (pin.mac.empty() ? "DRIVERS==\"virtio_net\", " : "ATTR{address}==\"" + pin.mac + "\", ") +
            "ATTR{type}==\"1\", NAME=\"" + pin.name + "\"\n";
  }
  repair.root.write(kPersistentNetRules, text,
                    "The network card keeps the name that the configuration knows it by.");
  repair.image_files[std::string(kPersistentNetRules).substr(1)] = text;
}

// The text without rules for cards that the machine does not have, and without drivers in the others.
std::string without_stale_rules(Repair& repair, const std::string& text) {
  std::set<std::string> macs;
  for (const contract::Nic& nic : repair.request.nics)
    if (std::string mac = normalised_mac(nic.mac); !mac.empty()) macs.insert(mac);
  if (macs.empty()) return text;
  std::string result;
  for (std::string_view line : lines_of(text)) {
    std::vector<PersistentNetRule> rule = parse_persistent_net_rules(line);
    if (!rule.empty() && !macs.contains(rule[0].mac)) continue;
    std::string out(line);
    if (!rule.empty()) {
      // DRIVERS=="vmxnet3" would keep the rule from the new card; "?*" (any) is what generators write.
      std::size_t at = out.find("DRIVERS==\"");
      if (at != std::string::npos) {
        std::size_t begin = at + 10;
        std::size_t end = out.find('"', begin);
        if (end != std::string::npos && out.substr(begin, end - begin) != "?*")
          out.replace(begin, end - begin, "?*");
      }
    }
    // The generator's comment above a rule says "PCI device 0x15ad:0x07b0 (vmxnet3)": gone with its rule.
    result += out + "\n";
  }
  bool any_rule = !parse_persistent_net_rules(result).empty();
  return any_rule ? result : "";
}

}  // namespace

void repair_network(Repair& repair) {
  std::map<std::string, ConfiguredInterface> interfaces = find_configured_interfaces(repair.root);
  std::vector<Pin> pins = assign(repair, interfaces);
  std::optional<std::string> rules = repair.root.read_if_sane(kPersistentNetRules);
  std::string kept = rules ? without_stale_rules(repair, *rules) : "";
  if (rules) {
    constexpr char kStale[] =
        "Rules for network cards that the machine does not have would take the names of those it has.";
    if (kept.empty())
      repair.root.remove(kPersistentNetRules, kStale);
    else
      repair.root.write(kPersistentNetRules, kept, kStale);
  }
  if (pins.empty()) return;
  if (has_link_files(repair.root))
    pin_with_link_files(repair, pins);
  else if (repair.root.is_directory("/etc/udev/rules.d"))
    pin_with_rules(repair, pins, kept);
  else if (pins.size() > 1)
    repair.root.warn(
        "The guest has no udev that could keep the names of its network cards; check them after the first "
        "boot.");
}

}  // namespace hyper2kvm::guest
