#include "runner/image/ovf.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <map>
#include <pugixml.hpp>

#include "runner/contract/text.h"
#include "runner/image/edge.h"

namespace hyper2kvm::image {
namespace {

// CIM resource types (DSP0243, "ResourceType").
enum ResourceType {
  kCpu = 3,
  kMemory = 4,
  kIde = 5,
  kScsi = 6,
  kEthernet = 10,
  kHardDisk = 17,
  kStorage = 20
};

constexpr std::uint64_t kMostCpus = 4096;
constexpr std::uint64_t kMostMemory = std::uint64_t{1} << 50;
constexpr std::size_t kMostItems = 4096;
constexpr std::size_t kLongestText = 256;

[[noreturn]] void refuse(const std::string& name, const std::string& problem,
                         const std::string& advice = "Export the machine again.") {
  throw os::Error(os::ErrorKind::kInvalid, name, problem, advice);
}

std::string_view local_name(std::string_view name) {
  std::size_t colon = name.rfind(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

// Prefixes are the exporter's choice, so elements and attributes go by their local names.
pugi::xml_node child(pugi::xml_node parent, std::string_view name) {
  for (pugi::xml_node node : parent.children())
    if (local_name(node.name()) == name) return node;
  return {};
}

std::vector<pugi::xml_node> children(pugi::xml_node parent, std::string_view name) {
  std::vector<pugi::xml_node> found;
  for (pugi::xml_node node : parent.children())
    if (local_name(node.name()) == name && found.size() < kMostItems) found.push_back(node);
  return found;
}

std::string clipped(std::string text) {
  if (text.size() > kLongestText) text.resize(kLongestText);
  return text;
}

std::string text_of(pugi::xml_node parent, std::string_view name) {
  return clipped(std::string(contract::trim(child(parent, name).text().get())));
}

std::string attribute_of(pugi::xml_node node, std::string_view name) {
  for (pugi::xml_attribute attribute : node.attributes())
    if (local_name(attribute.name()) == name) return clipped(attribute.value());
  return "";
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string lower(std::string text) {
  for (char& character : text)
    character = static_cast<char>(std::tolower(static_cast<unsigned char>(character)));
  return text;
}

// "%20" in a name is a blank: a href is a URI.
std::string decode_percent(const std::string& text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    bool escaped =
        text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16).ptr == text.data() + i + 3;
    decoded += escaped ? static_cast<char>(value) : text[i];
    if (escaped) i += 2;
  }
  return decoded;
}

// "00:50:56:AB:CD:EF", "080027ABCDEF"; empty for anything else.
std::string normal_mac(const std::string& written) {
  std::string digits;
  for (unsigned char character : written) {
    if (std::isxdigit(character) != 0)
      digits += static_cast<char>(std::tolower(character));
    else if (character != ':' && character != '-')
      return "";
  }
  if (digits.size() != 12) return "";
  std::string mac;
  for (std::size_t i = 0; i < 12; i += 2) mac += (i == 0 ? "" : ":") + digits.substr(i, 2);
  return mac;
}

contract::OsHint hint_from(const std::string& written) {
  const std::string text = lower(written);
  // Not anywhere in the text: "darwin" holds it too.
  if (text.rfind("win", 0) == 0 || text.find("windows") != std::string::npos)
    return contract::OsHint::kWindows;
  for (const char* known :
       {"linux", "debian", "ubuntu", "centos", "rhel", "redhat", "red hat", "sles", "suse", "fedora", "rocky",
        "alma", "oracle", "photon", "coreos", "amazon", "asianux", "gentoo"})
    if (text.find(known) != std::string::npos) return contract::OsHint::kLinux;
  return contract::OsHint::kUnknown;
}

struct Item {
  std::uint64_t type = 0;
  std::string instance, parent;
  std::uint64_t place = 0;  // on its parent
  pugi::xml_node node;
};

std::vector<Item> read_items(pugi::xml_node hardware) {
  std::vector<Item> items;
  for (pugi::xml_node node : hardware.children()) {
    std::string_view kind = local_name(node.name());
    if (kind != "Item" && kind != "StorageItem" && kind != "EthernetPortItem") continue;
    if (items.size() == kMostItems) break;
    Item item;
    item.type = number(text_of(node, "ResourceType")).value_or(0);
    item.instance = text_of(node, "InstanceID");
    if (item.instance.empty()) item.instance = text_of(node, "InstanceId");  // OVF 0.9
    item.parent = text_of(node, "Parent");
    item.place = number(text_of(node, "AddressOnParent")).value_or(0);
    item.node = node;
    items.push_back(std::move(item));
  }
  return items;
}

class Reader {
 public:
  Reader(pugi::xml_node envelope, const std::string& name) : name_(name) {
    for (pugi::xml_node file : children(child(envelope, "References"), "File"))
      files_[attribute_of(file, "id")] = file;
    for (pugi::xml_node disk : children(child(envelope, "DiskSection"), "Disk"))
      disks_[attribute_of(disk, "diskId")] = disk;
    system_ = only_system(envelope);
    hardware_ = child(system_, "VirtualHardwareSection");
    if (!hardware_) refuse(name_, "describes no hardware");
  }

  OvfMachine read(pugi::xml_node envelope) {
    machine_.name = text_of(system_, "Name");
    if (machine_.name.empty()) machine_.name = attribute_of(system_, "id");
    machine_.provider = "ovf";
    for (pugi::xml_attribute attribute : envelope.attributes())
      if (std::string_view(attribute.value()).find("vmware.com") != std::string_view::npos)
        machine_.provider = "vsphere";
    if (child(system_, "Machine")) machine_.provider = "virtualbox";
    const std::vector<Item> items = read_items(hardware_);
    for (const Item& item : items) {
      if (item.type == kCpu) read_cpu(item.node);
      if (item.type == kMemory) read_memory(item.node);
      if (item.type == kEthernet) read_nic(item.node);
    }
    for (const Item& item : disks_in_order(items)) read_disk(item);
    read_operating_system();
    read_firmware();
    read_virtualbox();
    if (machine_.disks.empty()) refuse(name_, "describes a machine without disks");
    return std::move(machine_);
  }

 private:
  pugi::xml_node only_system(pugi::xml_node envelope) {
    std::vector<pugi::xml_node> systems = children(envelope, "VirtualSystem");
    for (pugi::xml_node collection : children(envelope, "VirtualSystemCollection"))
      for (pugi::xml_node system : children(collection, "VirtualSystem")) systems.push_back(system);
    if (systems.empty()) refuse(name_, "describes no machine");
    if (systems.size() > 1)
      refuse(name_, "describes " + std::to_string(systems.size()) + " machines",
             "Export one machine at a time.");
    return systems[0];
  }

  // By the order of their controllers in the document, then by their place on the controller.
  static std::vector<Item> disks_in_order(const std::vector<Item>& items) {
    std::map<std::string, std::size_t> controllers;
    std::vector<Item> disks;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (items[i].type == kIde || items[i].type == kScsi || items[i].type == kStorage)
        controllers.emplace(items[i].instance, i);
      if (items[i].type == kHardDisk) disks.push_back(items[i]);
    }
    auto rank = [&](const Item& disk) {
      auto controller = controllers.find(disk.parent);
      return std::pair(controller == controllers.end() ? items.size() : controller->second, disk.place);
    };
    std::stable_sort(disks.begin(), disks.end(),
                     [&](const Item& a, const Item& b) { return rank(a) < rank(b); });
    return disks;
  }

  void warn(const std::string& text) { machine_.warnings.push_back(name_ + ": " + text); }

  void read_cpu(pugi::xml_node item) {
    std::optional<std::uint64_t> count = number(text_of(item, "VirtualQuantity"));
    if (!count || *count == 0 || *count > kMostCpus)
      refuse(name_,
             "gives the machine no usable number of processors (" + text_of(item, "VirtualQuantity") + ")");
    machine_.cpu = static_cast<std::uint32_t>(*count);
  }

  void read_memory(pugi::xml_node item) {
    std::optional<std::uint64_t> quantity = number(text_of(item, "VirtualQuantity"));
    const std::string unit_text = text_of(item, "AllocationUnits");
    std::optional<std::uint64_t> unit = parse_allocation_unit(unit_text);
    // Memory without a unit is in MiB in every export that was seen; a byte count would be useless.
    if (unit_text.empty()) unit = std::uint64_t{1} << 20;
    if (!quantity || !unit || *quantity == 0 || *quantity > kMostMemory / *unit)
      refuse(name_, "gives the machine no usable amount of memory (" + text_of(item, "VirtualQuantity") +
                        " times " + unit_text + ")");
    machine_.memory = *quantity * *unit;
  }

  void read_nic(pugi::xml_node item) {
    OvfNic nic;
    nic.network = text_of(item, "Connection");
    const std::string written = text_of(item, "Address");
    nic.mac = normal_mac(written);
    if (nic.mac.empty() && !written.empty())
      warn("the address \"" + written + "\" of a network adapter is no MAC address and is left out");
    machine_.nics.push_back(std::move(nic));
  }

  void read_disk(const Item& item) {
    const std::string resource = text_of(item.node, "HostResource");
    const std::size_t slash = resource.rfind('/');
    if (slash == std::string::npos)
      refuse(name_, "does not say what the disk \"" + text_of(item.node, "ElementName") + "\" is made from");
    const std::string id = resource.substr(slash + 1);
    OvfDisk disk;
    disk.label = text_of(item.node, "ElementName");
    std::string file_id = id;
    if (resource.find("/disk/") != std::string::npos) {
      auto found = disks_.find(id);
      if (found == disks_.end())
        refuse(name_, "refers to the disk \"" + id + "\", which it does not describe");
      read_disk_facts(found->second, disk);
      file_id = attribute_of(found->second, "fileRef");
      if (file_id.empty()) {
        warn("the disk \"" + id + "\" has no file: it is empty and is left out");
        return;
      }
    }
    auto file = files_.find(file_id);
    if (file == files_.end()) refuse(name_, "refers to the file \"" + file_id + "\", which it does not list");
    read_file_facts(file->second, disk);
    machine_.disks.push_back(std::move(disk));
  }

  void read_disk_facts(pugi::xml_node node, OvfDisk& disk) {
    if (!attribute_of(node, "parentRef").empty())
      refuse(name_, "has a disk that is the difference to another",
             "Consolidate the machine's snapshots and export it again.");
    std::optional<std::uint64_t> capacity = number(attribute_of(node, "capacity"));
    std::optional<std::uint64_t> unit = parse_allocation_unit(attribute_of(node, "capacityAllocationUnits"));
    if (capacity && unit && *capacity <= (std::uint64_t{1} << 62) / *unit) disk.capacity = *capacity * *unit;
    const std::string format = lower(attribute_of(node, "format"));
    using contract::SourceFormat;
    for (auto [text, value] : {std::pair{"vmdk", SourceFormat::kVmdk}, std::pair{"vhdx", SourceFormat::kVhdx},
                               std::pair{"vhd", SourceFormat::kVhd}, std::pair{"vdi", SourceFormat::kVdi},
                               std::pair{"qcow2", SourceFormat::kQcow2}})
      if (!disk.format && format.find(text) != std::string::npos) disk.format = value;
  }

  void read_file_facts(pugi::xml_node node, OvfDisk& disk) {
    disk.file_name = decode_percent(attribute_of(node, "href"));
    const std::string compression = lower(attribute_of(node, "compression"));
    if (!compression.empty() && compression != "identity")
      refuse(name_, "holds the disk \"" + disk.file_name + "\" compressed with " + compression,
             "Export the machine without compression of the files.");
    if (!attribute_of(node, "chunkSize").empty())
      refuse(name_, "holds the disk \"" + disk.file_name + "\" in chunks",
             "Export the machine without splitting its files.");
    disk.file_size = number(attribute_of(node, "size"));
  }

  void read_operating_system() {
    pugi::xml_node section = child(system_, "OperatingSystemSection");
    machine_.os_version = text_of(section, "Description");
    for (const std::string& text :
         {attribute_of(section, "osType"), text_of(section, "OSType"), machine_.os_version})
      if (machine_.os_hint == contract::OsHint::kUnknown) machine_.os_hint = hint_from(text);
  }

  void read_firmware() {
    for (pugi::xml_node node : hardware_.children()) {
      std::string_view kind = local_name(node.name());
      if (kind != "Config" && kind != "ExtraConfig") continue;
      const std::string key = lower(attribute_of(node, "key"));
      const std::string value = lower(attribute_of(node, "value"));
      if (key == "firmware" && value == "efi") machine_.firmware = contract::Firmware::kUefi;
      if (key == "firmware" && value == "bios") machine_.firmware = contract::Firmware::kBios;
      if ((key == "bootoptions.efisecurebootenabled" || key == "uefi.secureboot.enabled") && value == "true")
        machine_.secure_boot = true;
    }
  }

  // What VirtualBox says only in its own element: firmware and MAC addresses.
  void read_virtualbox() {
    pugi::xml_node hardware = child(child(system_, "Machine"), "Hardware");
    if (!hardware) return;
    const std::string firmware = lower(attribute_of(child(hardware, "Firmware"), "type"));
    machine_.firmware = firmware.rfind("efi", 0) == 0 ? contract::Firmware::kUefi : contract::Firmware::kBios;
    std::size_t nic = 0;
    for (pugi::xml_node adapter : children(child(hardware, "Network"), "Adapter")) {
      if (attribute_of(adapter, "enabled") != "true") continue;
      if (nic < machine_.nics.size() && machine_.nics[nic].mac.empty())
        machine_.nics[nic].mac = normal_mac(attribute_of(adapter, "MACAddress"));
      ++nic;
    }
  }

  std::string name_;
  std::map<std::string, pugi::xml_node> files_, disks_;
  pugi::xml_node system_, hardware_;
  OvfMachine machine_;
};

}  // namespace

OvfMachine parse_ovf(std::string_view text, const std::string& name) {
  return at_edge(name, [&] {
    if (text.size() > kLargestOvf) refuse(name, "is too long to be an OVF");
    // pugixml reads no document type, so there is no entity that could be expanded or fetched.
    pugi::xml_document document;
    pugi::xml_parse_result result = document.load_buffer(text.data(), text.size(), pugi::parse_default);
    if (!result)
      refuse(name,
             "is no XML: " + std::string(result.description()) + " at byte " + std::to_string(result.offset));
    pugi::xml_node envelope = child(document, "Envelope");
    if (!envelope) refuse(name, "is no OVF: it has no Envelope");
    return Reader(envelope, name).read(envelope);
  });
}

}  // namespace hyper2kvm::image
