#include "operator/conversion/registration.h"

#include <algorithm>
#include <array>

#include "operator/conversion/words.h"
#include "runner/os/error.h"

namespace hyper2kvm::conversion {
namespace {

constexpr std::array<const char*, 4> kRunStrategies{"Always", "RerunOnFailure", "Manual", "Halted"};

std::string problem_of_networks(const kubevirt::Wishes& wishes) {
  for (std::size_t i = 0; i < wishes.networks.size(); ++i) {
    const kubevirt::NetworkMapping& network = wishes.networks[i];
    const std::string name = "spec.register.kubevirt.networks[" + std::to_string(i) + "]";
    if (network.source.empty())
      return name + ".source is empty. Name the network at the source, or * for all others.";
    if (network.kind == kubevirt::NetworkKind::kMultus && network.multus.empty())
      return name + " names no network of the cluster. Set pod: {}, or multus.networkName.";
    if (network.kind == kubevirt::NetworkKind::kPod && !network.multus.empty())
      return name + " names both the pod network and a multus network. Leave one of them out.";
    if (network.kind == kubevirt::NetworkKind::kMultus &&
        network.binding == kubevirt::NetworkBinding::kMasquerade)
      return name +
             ".binding is masquerade, which only the pod network has. Set it to bridge, or leave it out.";
  }
  return "";
}

}  // namespace

std::string problem_of_registration(const Spec& spec) {
  if (!spec.kubevirt) return "";
  if (!spec.format.empty() && spec.format != "raw")
    return "spec.output.format is " + spec.format +
           ", and KubeVirt's disks are raw. Set it to raw, or leave it out.";
  if (spec.compress)
    return "spec.pipeline.convert asks for compression, and KubeVirt's disks are raw. Leave it out.";
  if (!spec.output_path.empty())
    return "spec.output.path is set, and KubeVirt takes the disk at the root of its claim. Leave it out.";
  if (std::find(kRunStrategies.begin(), kRunStrategies.end(), spec.kubevirt->run_strategy) ==
      kRunStrategies.end())
    return "spec.register.kubevirt.runStrategy is \"" + spec.kubevirt->run_strategy +
           "\". Set it to Always, RerunOnFailure, Manual or Halted.";
  if (!spec.kubevirt->name.empty() && kubevirt::machine_label(spec.kubevirt->name) != spec.kubevirt->name)
    return "spec.register.kubevirt.name is \"" + spec.kubevirt->name +
           "\", which is no name of a VirtualMachine. Use lower-case letters, digits and single dashes.";
  return problem_of_networks(*spec.kubevirt);
}

kube::ObjectKey machine_key(const Conversion& conversion) {
  const Spec& spec = conversion.spec;
  std::string wanted = spec.kubevirt ? spec.kubevirt->name : "";
  if (wanted.empty()) wanted = kube::text_at(spec.vm, {"name"});
  if (wanted.empty()) wanted = conversion.key.name;
  return {conversion.key.name_space, kubevirt::machine_label(wanted)};
}

Json make_machine(const Conversion& conversion, const contract::MachineFacts& facts) {
  std::vector<kubevirt::Disk> disks;
  if (conversion.makes_a_claim_for_each_disk()) {
    for (const PlannedDisk& disk : conversion.status.disks)
      disks.push_back({disk.claim_name, conversion.disk_is_data_volume(disks.size())});
    // The one that boots comes first, and the others stay in their order.
    const auto boots = std::min_element(conversion.status.disks.begin(), conversion.status.disks.end(),
                                        [](const PlannedDisk& one, const PlannedDisk& other) {
                                          return one.boot_order_hint < other.boot_order_hint;
                                        });
    const auto place = disks.begin() + (boots - conversion.status.disks.begin());
    if (!disks.empty()) std::rotate(disks.begin(), place, place + 1);
  } else {
    disks.push_back({conversion.output_claim_name(), conversion.output_is_data_volume()});
  }
  Json machine = kubevirt::virtual_machine(machine_key(conversion), facts, disks, *conversion.spec.kubevirt,
                                           conversion.key.name);
  machine["metadata"]["labels"][kConversionLabel] = conversion.uid;
  return machine;
}

}  // namespace hyper2kvm::conversion
