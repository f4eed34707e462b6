// The KubeVirt VirtualMachine that a converted machine becomes, as JSON.
//
// Pure: nothing here talks to a cluster, so every choice is visible in a test. Values only; thread-safe as
// any value. Source: the API of KubeVirt (https://kubevirt.io/api-reference/main/definitions.html) and its
// user guide; what a webhook of KubeVirt would refuse is refused here first, with the next step.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "operator/kube/object.h"
#include "operator/kube/resource.h"
#include "runner/contract/machine_facts.h"

namespace hyper2kvm::kubevirt {

inline const kube::ResourceType kVirtualMachines{"kubevirt.io", "v1", "virtualmachines", "VirtualMachine"};
inline const kube::ResourceType kClusterPreferences{"instancetype.kubevirt.io", "v1beta1",
                                                    "virtualmachineclusterpreferences",
                                                    "VirtualMachineClusterPreference", false};

enum class NetworkKind {
  kPod,     // the cluster's pod network; one NIC of a machine at most
  kMultus,  // a NetworkAttachmentDefinition
};
enum class NetworkBinding { kMasquerade, kBridge };

// Where the NICs of one network of the source go.
struct NetworkMapping {
  std::string source;  // its name at the source; "*" is every network that no other entry names
  NetworkKind kind = NetworkKind::kPod;
  std::string multus;  // "name" or "namespace/name"; for kMultus
  NetworkBinding binding = NetworkBinding::kMasquerade;
};

// A cluster-wide or namespaced instance type or preference.
struct Reference {
  std::string kind;  // empty: KubeVirt's default, the cluster-wide one
  std::string name;  // empty: none
};

// What the user wants of the machine. Words and defaults: spec.register.kubevirt of the VMConversion.
struct Wishes {
  std::string name;                     // empty: from the machine's own
  std::string run_strategy = "Halted";  // Always, RerunOnFailure, Manual, Halted
  std::vector<NetworkMapping> networks;
  Reference instance_type;
  Reference preference;
  bool preference_of_guest = false;  // the cluster's own for what was found in the guest
  std::string disk_bus;  // virtio, scsi, sata; empty: virtio where the guest is ready for it, else sata
  bool tpm = false;      // 2.0, whose state outlives a restart
  std::map<std::string, std::string> labels;
};

// One disk of the machine. The first one boots.
struct Disk {
  std::string claim;            // holds disk.img, or is a block volume; raw either way
  bool is_data_volume = false;  // CDI made the claim, of a DataVolume of its name
};

// A DNS-1123 label from whatever a machine was called; "vm" if nothing is left.
std::string machine_label(const std::string& wanted);

// The object as it is applied. conversion is the name of the VMConversion it comes from. Throws os::Error
// (kInvalid) for what cannot be a machine there: no disk, Secure Boot without UEFI, a NIC with no place to go
// or a second one on the pod network, facts of NICs that were cut.
kube::Json virtual_machine(const kube::ObjectKey& key, const contract::MachineFacts& facts,
                           const std::vector<Disk>& disks, const Wishes& wishes,
                           const std::string& conversion);

// Names that a cluster-wide preference for this guest may have, the closest first, as KubeVirt's
// common-instancetypes call them: "rhel.9", "centos.stream9", "debian", "linux". None of an unknown guest.
std::vector<std::string> preferences_for(const contract::MachineFacts& facts);

// What was guessed for it, a sentence each: amounts and firmware that the input does not tell.
std::vector<std::string> guesses(const contract::MachineFacts& facts, const Wishes& wishes);

}  // namespace hyper2kvm::kubevirt
