#include "runner/guest/network/interface_name.h"

#include <algorithm>
#include <charconv>

#include "runner/guest/system/text.h"

namespace hyper2kvm::guest {
namespace {

std::optional<unsigned long> take_number(std::string_view& text) {
  unsigned long number = 0;
  auto [end, failure] =
      std::from_chars(text.data(), text.data() + std::min<std::size_t>(text.size(), 12), number);
  if (failure != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// From 160 on, slots are PCI Express root ports with 8 functions each: 160, 192, 224 and 256 are the first
// functions of the four ports, 161, 193, ... the second ones. Below are the slots of the old PCI bus, in
// their order.
unsigned long slot_rank(unsigned long slot) {
  if (slot < 160) return slot;
  return 1000 + (slot % 32) * 1000 + slot / 32;
}

// VMware's root ports are buses 3, 11, 19 and 27 (their slots 160, 192, 224, 256), followed by 4, 12, 20, 28.
unsigned long bus_rank(unsigned long bus) {
  if (bus < 3) return bus;
  return 1000 + (bus - 3) % 8 * 1000 + (bus - 3) / 8;
}

}  // namespace

std::optional<InterfaceName> parse_interface_name(std::string_view name) {
  InterfaceName result;
  std::string_view rest = name;
  if (take_prefix(rest, "eth")) {
    std::optional<unsigned long> number = take_number(rest);
    if (!number || !rest.empty()) return std::nullopt;
    result.kind = NamingKind::kKernel;
    result.rank = *number;
    return result;
  }
  if (rest = name; take_prefix(rest, "enx") && rest.size() == 12) {
    result.kind = NamingKind::kMac;
    for (std::size_t at = 0; at < 12; at += 2) result.mac += (at == 0 ? "" : ":") + lower(rest.substr(at, 2));
    if (normalised_mac(result.mac).empty()) return std::nullopt;
    return result;
  }
  for (std::string_view prefix : {"eno", "em"}) {
    rest = name;
    if (!take_prefix(rest, prefix)) continue;
    std::optional<unsigned long> number = take_number(rest);
    if (!number || !rest.empty()) continue;
    result.kind = NamingKind::kOnboard;
    result.rank = *number;
    return result;
  }
  if (rest = name; take_prefix(rest, "ens")) {
    std::optional<unsigned long> slot = take_number(rest);
    if (!slot) return std::nullopt;
    unsigned long function = 0;
    if (take_prefix(rest, "f")) function = take_number(rest).value_or(0);
    // A device number may follow for multi-port cards; it does not change the order among VMware's.
    if (take_prefix(rest, "d")) take_number(rest);
    if (!rest.empty()) return std::nullopt;
    result.kind = NamingKind::kSlot;
    result.rank = slot_rank(*slot) * 10 + function;
    return result;
  }
  if (rest = name; take_prefix(rest, "enp")) {
    std::optional<unsigned long> bus = take_number(rest);
    if (!bus || !take_prefix(rest, "s")) return std::nullopt;
    std::optional<unsigned long> slot = take_number(rest);
    if (!slot) return std::nullopt;
    unsigned long function = 0;
    if (take_prefix(rest, "f")) function = take_number(rest).value_or(0);
    if (!rest.empty()) return std::nullopt;
    result.kind = NamingKind::kPath;
    result.rank = bus_rank(*bus) * 1000 + *slot * 10 + function;
    return result;
  }
  return std::nullopt;
}

std::string base_interface(std::string_view name) {
  name = name.substr(0, name.find(':'));
  return std::string(name.substr(0, name.find('.')));
}

bool is_safe_interface_name(std::string_view name) {
  return !name.empty() && name.size() <= 15 && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                  c == '-' || c == '_';
         });
}

std::string normalised_mac(std::string_view text) {
  std::string mac = lower(trim(text));
  std::replace(mac.begin(), mac.end(), '-', ':');
  if (mac.size() != 17) return "";
  for (std::size_t at = 0; at < mac.size(); ++at) {
    bool digit = (mac[at] >= '0' && mac[at] <= '9') || (mac[at] >= 'a' && mac[at] <= 'f');
    if (at % 3 == 2 ? mac[at] != ':' : !digit) return "";
  }
  return mac == "00:00:00:00:00:00" ? "" : mac;
}

}  // namespace hyper2kvm::guest
