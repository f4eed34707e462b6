// The network cards that the guest's configuration names, in whichever systems it is configured.
//
// Only what ties a configuration to a card is read: names, and addresses that a file says belong to a name.
// Addresses, routes, bonds, VLANs and bridges are not touched by anybody, because the names stay.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "runner/guest/guest_root.h"

namespace hyper2kvm::guest {

struct ConfiguredInterface {
  std::string mac;                 // where a file says which card it is; "" otherwise
  std::vector<std::string> files;  // that name it
};

// By name. Names of cards, and any other name that a file ties to a MAC address. Interfaces on top of cards
// (bonds, bridges, VLANs) are left out, the cards that they are made of are in.
std::map<std::string, ConfiguredInterface> find_configured_interfaces(GuestRoot& root);

// Old udev rules that named cards by their address.
struct PersistentNetRule {
  std::string line;  // as written
  std::string mac, name;
};
inline constexpr const char* kPersistentNetRules = "/etc/udev/rules.d/70-persistent-net.rules";
std::vector<PersistentNetRule> parse_persistent_net_rules(std::string_view text);

}  // namespace hyper2kvm::guest
