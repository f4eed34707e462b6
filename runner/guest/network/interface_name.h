// The names that Linux gives to network cards, and the order that they stand for.
//
// A name like ens192 tells the slot that the old hypervisor put the card into. VMware fills slots in a fixed
// order (pciSlotNumber 160 or 192, 224, 256, then 161, 193, 225, 257, ...), so names of one kind, put into
// that order, are the machine's cards in the order of its configuration. Sources:
// systemd.net-naming-scheme(7); VMware's knowledge base on network adapter names.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace hyper2kvm::guest {

enum class NamingKind {
  kKernel,   // eth0
  kOnboard,  // eno1, eno16777736 (VMware's firmware index), em1
  kSlot,     // ens192
  kPath,     // enp11s0
  kMac,      // enx005056aabbcc: holds the address itself
};

struct InterfaceName {
  NamingKind kind = NamingKind::kKernel;
  // Orders names of the same kind as the machine's cards are ordered.
  unsigned long rank = 0;
  std::string mac;  // of kMac
};

// nullopt for what is no name of a network card: lo, bond0, br0, virtual interfaces, names that an admin
// chose.
std::optional<InterfaceName> parse_interface_name(std::string_view name);

// Without the parts that stand for something on top of the card: "eth0" of "eth0:1", "eth0.100" and
// "eth0.100:1".
std::string base_interface(std::string_view name);

// Letters, digits and ".-_:" only, at most 15 of them: what may be written into rules and unit files.
bool is_safe_interface_name(std::string_view name);
// "00:50:56:aa:bb:cc" in lower case; "" for what is no address of a card.
std::string normalised_mac(std::string_view text);

}  // namespace hyper2kvm::guest
