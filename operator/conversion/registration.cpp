#include "operator/conversion/registration.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>
#include <utility>

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

bool is_ssh(const LibvirtWishes& wishes) { return wishes.uri.starts_with("qemu+ssh://"); }

// What the runner adds to the URI must not be said twice, and nothing in it may name a file of the pod.
bool is_uri(const LibvirtWishes& wishes) {
  if (!is_ssh(wishes) && !wishes.uri.starts_with("qemu+tls://")) return false;
  const std::string_view rest = std::string_view(wishes.uri).substr(std::string_view("qemu+ssh://").size());
  const std::size_t slash = rest.find('/');
  if (slash == 0 || slash == std::string_view::npos) return false;
  if (rest.substr(slash) != "/system") return false;
  return std::ranges::all_of(rest.substr(0, slash), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("@.:[]_~-").find(c) != std::string_view::npos;
  });
}

std::string problem_of_libvirt(const Spec& spec) {
  const LibvirtWishes& wishes = *spec.libvirt;
  if (spec.kubevirt) return "Name either spec.register.kubevirt or spec.register.libvirt, and not both.";
  if (!is_uri(wishes))
    return "spec.register.libvirt.uri is \"" + wishes.uri +
           "\", which is no libvirt that a pod can reach. Write it like qemu+tls://HOST/system or "
           "qemu+ssh://root@HOST/system.";
  if (wishes.secret.empty())
    return "spec.register.libvirt.secretName is empty. Name the Secret with what the host lets in.";
  if (wishes.pool.empty())
    return "spec.register.libvirt.pool is empty. Name a storage pool of the host: it cannot see the claim.";
  if (!wishes.network.empty() && !wishes.bridge.empty())
    return "Name either spec.register.libvirt.network or spec.register.libvirt.bridge, and not both.";
  if (!spec.disk_claims.empty())
    return "spec.output.diskClaimTemplates is set, and a machine for libvirt is converted into one claim. "
           "Name one, or a spec.output.volumeClaimTemplate.";
  return "";
}

}  // namespace

Json libvirt_section(const LibvirtWishes& wishes) {
  const std::string folder = kLibvirtFolder;
  Json section = {
      {"enabled", true},
      {"uri", wishes.uri + (is_ssh(wishes) ? "?keyfile=" + folder + "/ssh-privatekey&known_hosts=" + folder +
                                                 "/known_hosts"
                                           : "?pkipath=" + folder)},
      {"pool", wishes.pool},
      {"autostart", wishes.autostart},
      {"start", wishes.start},
      {"overwrite", wishes.overwrite}};
  // What is not said here is not the input's to say: it does not know this host.
  for (const auto& [key, value] : {std::pair("name", wishes.name), std::pair("network", wishes.network),
                                   std::pair("bridge", wishes.bridge)})
    section[key] = value.empty() ? Json() : Json(value);
  return section;
}

std::string problem_of_registration(const Spec& spec) {
  if (spec.libvirt) return problem_of_libvirt(spec);
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
  if (spec.kubevirt->preference_of_guest && !spec.kubevirt->preference.name.empty())
    return "spec.register.kubevirt.preference has a name and fromGuest. Leave one of them out.";
  if (!spec.kubevirt->preference.kind.empty() && spec.kubevirt->preference.name.empty())
    return "spec.register.kubevirt.preference has a kind and no name. Name the preference.";
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
