#include "runner/contract/machine_facts.h"

#include <nlohmann/json.hpp>

#include "runner/contract/section.h"
#include "runner/contract/sections.h"
#include "runner/contract/text.h"

namespace hyper2kvm::contract {
namespace {

using nlohmann::json;

// A guest may call itself what it likes.
constexpr std::size_t kGuestBytes = 128;

std::size_t length_of(const json& object) {
  return object.dump(-1, ' ', false, json::error_handler_t::replace).size();
}

}  // namespace

json to_json(const MachineFacts& facts, std::size_t longest) {
  json object = {{"name", printable(facts.name, kNameBytes)},
                 {"cpus", facts.cpus},
                 {"mem_gb", facts.mem_gb},
                 {"firmware", to_string(facts.firmware)},
                 {"secureboot", facts.secure_boot},
                 {"virtio", facts.virtio},
                 {"os_type", printable(facts.os_type, kGuestBytes)},
                 {"distribution", printable(facts.distribution, kGuestBytes)},
                 {"version", printable(facts.version, kGuestBytes)},
                 {"pretty_name", printable(facts.pretty_name, kGuestBytes)},
                 {"hostname", printable(facts.hostname, kGuestBytes)},
                 {"architecture", printable(facts.architecture, kGuestBytes)},
                 {"total_nics", facts.total_nics},
                 {"nics", json::array()}};
  for (const Nic& nic : facts.nics) {
    object["nics"].push_back({{"mac", nic.mac}, {"network", printable(nic.network, kNameBytes)}});
    if (longest == 0 || length_of(object) <= longest) continue;
    object["nics"].erase(object["nics"].size() - 1);
    break;
  }
  return object;
}

MachineFacts read_machine_facts(Section& section) {
  MachineFacts facts;
  auto count = [&](const char* key, std::int64_t most) { return section.integer(key, 0, most).value_or(0); };
  facts.name = section.line("name", kNameBytes);
  facts.cpus = static_cast<std::uint32_t>(count("cpus", UINT32_MAX));
  facts.mem_gb = static_cast<std::uint32_t>(count("mem_gb", UINT32_MAX));
  facts.firmware = section.word("firmware", kFirmwareWords, Firmware::kUnknown);
  facts.secure_boot = section.boolean("secureboot", false);
  facts.virtio = section.boolean("virtio", false);
  facts.os_type = section.line("os_type", kGuestBytes);
  facts.distribution = section.line("distribution", kGuestBytes);
  facts.version = section.line("version", kGuestBytes);
  facts.pretty_name = section.line("pretty_name", kGuestBytes);
  facts.hostname = section.line("hostname", kGuestBytes);
  facts.architecture = section.line("architecture", kGuestBytes);
  facts.total_nics = static_cast<std::size_t>(count("total_nics", INT32_MAX));
  facts.nics = read_nics(section);
  return facts;
}

}  // namespace hyper2kvm::contract
