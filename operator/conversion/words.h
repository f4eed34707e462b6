// The names that the operator and the objects it makes have in the cluster.
#pragma once

#include "operator/kube/resource.h"

namespace hyper2kvm::conversion {

inline const kube::ResourceType kConversions{"hyper2kvm.io", "v1alpha1", "vmconversions", "VMConversion"};

// Of CDI (containerized-data-importer): makes a claim, and what KubeVirt expects to be in it.
inline const kube::ResourceType kDataVolumes{"cdi.kubevirt.io", "v1beta1", "datavolumes", "DataVolume"};

inline constexpr const char* kOperatorName = "hyper2kvm-operator";
inline constexpr const char* kFinalizer = "hyper2kvm.io/clean-up";
// Everything that the operator makes carries this label, so that it need not look at other objects.
inline constexpr const char* kManagedByLabel = "app.kubernetes.io/managed-by";
// Whose it is: the UID, which a new conversion of the same name does not share.
inline constexpr const char* kConversionLabel = "hyper2kvm.io/conversion-uid";
// The conversion's name, which may be longer than a label's value.
inline constexpr const char* kConversionAnnotation = "hyper2kvm.io/conversion";
// Which of its node's slots a runner has (node_slots.h).
inline constexpr const char* kNodeSlotLabel = "hyper2kvm.io/node-slot";
// Of a runner's pod that talks to a libvirt: "libvirt". A network policy tells it by this from the others.
inline constexpr const char* kRegistersLabel = "hyper2kvm.io/registers";
inline constexpr const char* kAttemptLabel = "hyper2kvm.io/attempt";
inline constexpr const char* kRunnerContainer = "runner";

}  // namespace hyper2kvm::conversion
