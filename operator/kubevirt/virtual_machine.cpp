// Each function adds one part. What KubeVirt chooses well itself (addresses, the CPU model of the cluster, a
// random generator's source) is left to it.
#include "operator/kubevirt/virtual_machine.h"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "runner/contract/text.h"
#include "runner/os/error.h"

namespace hyper2kvm::kubevirt {
namespace {

using kube::Json;

constexpr std::size_t kLongestLabel = 63;
constexpr std::uint32_t kCpusWhereNobodySays = 2;
constexpr std::uint32_t kGibWhereNobodySays = 2;

[[noreturn]] void refuse(const contract::MachineFacts& facts, std::string problem, std::string advice) {
  throw os::Error(os::ErrorKind::kInvalid, contract::printable(facts.name), std::move(problem),
                  std::move(advice));
}

// It has no BIOS, and none of the PC's timers.
bool is_arm(const contract::MachineFacts& facts) { return facts.architecture == "aarch64"; }

void check(const contract::MachineFacts& facts, const std::vector<Disk>& disks) {
  if (disks.empty()) refuse(facts, "has no disk", "Convert at least one.");
  if (facts.secure_boot && facts.firmware != contract::Firmware::kUefi)
    refuse(facts, "asks for Secure Boot with BIOS firmware",
           "Set vm.firmware to uefi, or vm.secureboot to false, in the manifest.");
  if (facts.secure_boot && is_arm(facts))
    refuse(facts, "asks for Secure Boot, which KubeVirt has for x86_64 only",
           "Set vm.secureboot to false in the manifest.");
  if (facts.nics.size() < facts.total_nics)
    refuse(facts,
           "has " + std::to_string(facts.total_nics) + " NICs, of which only " +
               std::to_string(facts.nics.size()) + " could be reported",
           "Make the VirtualMachine by hand from the disks and the report.");
  if (!facts.architecture.empty() && facts.architecture != "x86_64" && facts.architecture != "aarch64")
    refuse(facts, "has a guest for " + facts.architecture + " processors, which KubeVirt does not run",
           "Remove spec.register from the conversion to get its disks.");
}

const NetworkMapping* mapping_for(const std::string& network, const std::vector<NetworkMapping>& mappings) {
  auto named = std::find_if(mappings.begin(), mappings.end(),
                            [&](const NetworkMapping& each) { return each.source == network; });
  if (named == mappings.end())
    named = std::find_if(mappings.begin(), mappings.end(),
                         [](const NetworkMapping& each) { return each.source == "*"; });
  return named == mappings.end() ? nullptr : &*named;
}

// Where nobody says anything, the first NIC goes to the pod network: every cluster has one.
NetworkMapping place_of(const contract::MachineFacts& facts, std::size_t index, const Wishes& wishes) {
  if (const NetworkMapping* found = mapping_for(facts.nics[index].network, wishes.networks)) return *found;
  if (index == 0 && wishes.networks.empty()) return {};
  refuse(facts,
         "has NIC " + std::to_string(index + 1) + " on the network \"" +
             contract::printable(facts.nics[index].network) + "\", which has no place in the cluster",
         "Name that network, or *, in spec.register.kubevirt.networks.");
}

void add_nics(Json& domain_devices, Json& networks, const contract::MachineFacts& facts,
              const Wishes& wishes) {
  bool pod_is_taken = false;
  for (std::size_t index = 0; index < facts.nics.size(); ++index) {
    NetworkMapping place = place_of(facts, index, wishes);
    std::string name = "nic-" + std::to_string(index);
    Json network = {{"name", name}};
    if (place.kind == NetworkKind::kPod) {
      if (pod_is_taken)
        refuse(facts, "would have two NICs on the pod network, where KubeVirt takes one",
               "Map the network \"" + contract::printable(facts.nics[index].network) +
                   "\" to a multus network in spec.register.kubevirt.networks.");
      pod_is_taken = true;
      network["pod"] = Json::object();
    } else {
      network["multus"] = {{"networkName", place.multus}};
    }
    networks.push_back(std::move(network));
    Json interface = {{"name", name}, {"model", facts.virtio ? "virtio" : "e1000e"}};
    // Behind masquerade the guest has an address of its own; a multus network is layer 2 and has none.
    bool masquerades = place.kind == NetworkKind::kPod && place.binding == NetworkBinding::kMasquerade;
    interface[masquerades ? "masquerade" : "bridge"] = Json::object();
    // The guest's network configuration may be bound to it.
    if (!facts.nics[index].mac.empty()) interface["macAddress"] = facts.nics[index].mac;
    domain_devices["interfaces"].push_back(std::move(interface));
  }
  // Else KubeVirt would give a machine without NICs one.
  if (facts.nics.empty()) domain_devices["autoattachPodInterface"] = false;
}

void add_disks(Json& domain_devices, Json& volumes, const contract::MachineFacts& facts,
               const std::vector<Disk>& disks, const Wishes& wishes) {
  std::string bus = !wishes.disk_bus.empty() ? wishes.disk_bus : facts.virtio ? "virtio" : "sata";
  for (std::size_t index = 0; index < disks.size(); ++index) {
    std::string name = "disk-" + std::to_string(index);
    domain_devices["disks"].push_back({{"name", name}, {"bootOrder", index + 1}, {"disk", {{"bus", bus}}}});
    Json volume = {{"name", name}};
    if (disks[index].is_data_volume)
      volume["dataVolume"] = {{"name", disks[index].claim}};
    else
      volume["persistentVolumeClaim"] = {{"claimName", disks[index].claim}};
    volumes.push_back(std::move(volume));
  }
}

Json firmware_of(const contract::MachineFacts& facts) {
  if (facts.firmware != contract::Firmware::kUefi && !is_arm(facts))
    return {{"bootloader", {{"bios", Json::object()}}}};
  // KubeVirt's default is Secure Boot, which a loader without a signature does not pass.
  return {{"bootloader", {{"efi", {{"secureBoot", facts.secure_boot}}}}}};
}

Json clock_of(const contract::MachineFacts& facts) {
  if (is_arm(facts)) return {{"utc", Json::object()}};
  Json timer = {{"hpet", {{"present", false}}},
                {"pit", {{"tickPolicy", "delay"}}},
                {"rtc", {{"tickPolicy", "catchup"}}}};
  if (facts.os_type == "windows") timer["hyperv"] = Json::object();
  return {{"utc", Json::object()}, {"timer", timer}};
}

Json features_of(const contract::MachineFacts& facts) {
  Json features = {{"acpi", Json::object()}};
  // Secure Boot keeps its variables in memory that only System Management Mode may write.
  if (facts.secure_boot) features["smm"] = {{"enabled", true}};
  return features;
}

Json reference_json(const Reference& reference) {
  Json object = {{"name", reference.name}};
  if (!reference.kind.empty()) object["kind"] = reference.kind;
  return object;
}

}  // namespace

std::string machine_label(const std::string& wanted) {
  std::string label;
  for (char letter : wanted) {
    auto byte = static_cast<unsigned char>(letter);
    if (byte < 0x80 && std::isalnum(byte) != 0)
      label += static_cast<char>(std::tolower(byte));
    else if (!label.empty() && label.back() != '-')
      label += '-';
  }
  label.resize(std::min(label.size(), kLongestLabel));
  while (!label.empty() && label.back() == '-') label.pop_back();
  return label.empty() ? "vm" : label;
}

Json virtual_machine(const kube::ObjectKey& key, const contract::MachineFacts& facts,
                     const std::vector<Disk>& disks, const Wishes& wishes, const std::string& conversion) {
  check(facts, disks);
  Json devices = {{"rng", Json::object()}};
  Json networks = Json::array(), volumes = Json::array();
  add_disks(devices, volumes, facts, disks, wishes);
  add_nics(devices, networks, facts, wishes);
  if (wishes.tpm) devices["tpm"] = {{"persistent", true}};
  Json domain = {{"devices", std::move(devices)},
                 {"firmware", firmware_of(facts)},
                 {"features", features_of(facts)},
                 {"clock", clock_of(facts)},
                 {"machine", {{"type", is_arm(facts) ? "virt" : "q35"}}}};
  Json spec = {{"runStrategy", wishes.run_strategy}};
  if (wishes.instance_type.name.empty()) {
    // One socket: desktop editions of Windows use two at most, and many licences count them.
    std::uint32_t cpus = facts.cpus == 0 ? kCpusWhereNobodySays : facts.cpus;
    std::uint32_t gib = facts.mem_gb == 0 ? kGibWhereNobodySays : facts.mem_gb;
    domain["cpu"] = {{"sockets", 1}, {"cores", cpus}, {"threads", 1}};
    domain["memory"] = {{"guest", std::to_string(gib) + "Gi"}};
  } else {
    // KubeVirt refuses a machine that says both.
    spec["instancetype"] = reference_json(wishes.instance_type);
  }
  if (!wishes.preference.name.empty()) spec["preference"] = reference_json(wishes.preference);
  Json labels = {{"app.kubernetes.io/managed-by", "hyper2kvm-operator"}};
  for (const auto& [name, value] : wishes.labels) labels[name] = value;
  Json template_labels = {{"kubevirt.io/domain", key.name}};
  for (const auto& [name, value] : wishes.labels) template_labels[name] = value;
  Json annotations = {{"hyper2kvm.io/conversion", conversion}};
  if (!facts.pretty_name.empty()) annotations["hyper2kvm.io/guest"] = facts.pretty_name;
  Json instance = {{"domain", std::move(domain)}, {"volumes", std::move(volumes)}};
  if (!networks.empty()) instance["networks"] = std::move(networks);
  if (!facts.architecture.empty())
    instance["architecture"] = facts.architecture == "x86_64" ? "amd64" : "arm64";
  Json template_metadata = {{"labels", template_labels}};
  // By this consoles choose a picture, and KubeVirt's metrics tell machines apart.
  const std::string& system = !facts.distribution.empty() ? facts.distribution : facts.os_type;
  if (!system.empty() && system != "unknown")
    template_metadata["annotations"] = {{"vm.kubevirt.io/os", system}};
  spec["template"] = {{"metadata", std::move(template_metadata)}, {"spec", std::move(instance)}};
  return {
      {"apiVersion", kVirtualMachines.api_version()},
      {"kind", kVirtualMachines.kind},
      {"metadata",
       {{"namespace", key.name_space}, {"name", key.name}, {"labels", labels}, {"annotations", annotations}}},
      {"spec", std::move(spec)}};
}

std::vector<std::string> preferences_for(const contract::MachineFacts& facts) {
  const std::string& id = facts.distribution;
  const std::string major = facts.version.substr(0, facts.version.find('.'));
  std::vector<std::string> names;
  if (id == "centos") names.push_back("centos.stream" + major);
  if (id.rfind("opensuse-", 0) == 0) names.push_back("opensuse." + id.substr(9));
  for (const std::string& version : {facts.version, major})
    if (!id.empty() && !version.empty()) names.push_back(id + "." + version);
  if (!id.empty()) names.push_back(id);
  // Made of the same sources.
  if (id == "rocky" || id == "almalinux" || id == "ol") names.push_back("rhel." + major);
  if (facts.os_type == "linux") names.emplace_back("linux");
  // What the guest says of itself may be anything.
  std::erase_if(names, [](const std::string& name) {
    return name.size() > 253 || !std::all_of(name.begin(), name.end(), [](unsigned char letter) {
             return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '.' ||
                    letter == '-';
           });
  });
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::vector<std::string> guesses(const contract::MachineFacts& facts, const Wishes& wishes) {
  std::vector<std::string> sentences;
  if (wishes.instance_type.name.empty() && (facts.cpus == 0 || facts.mem_gb == 0))
    sentences.push_back("The input does not say how many CPUs or how much memory the machine has: it gets " +
                        std::to_string(facts.cpus == 0 ? kCpusWhereNobodySays : facts.cpus) + " CPUs and " +
                        std::to_string(facts.mem_gb == 0 ? kGibWhereNobodySays : facts.mem_gb) +
                        " GiB. Name an instance type to change that.");
  if (facts.firmware == contract::Firmware::kUnknown && !is_arm(facts))
    sentences.emplace_back(
        "The firmware of the machine is not known: it gets BIOS. Set vm.firmware in the manifest to uefi if "
        "it does not start.");
  return sentences;
}

}  // namespace hyper2kvm::kubevirt
