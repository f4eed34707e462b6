// Which kind of object a request is about, and its place in the API server's paths.
// Source: Kubernetes API concepts, "Resource URIs".
#pragma once

#include <compare>
#include <functional>
#include <string>
#include <string_view>

namespace hyper2kvm::kube {

// A kind of object: "jobs.batch". Immutable once made; a constant of the program.
struct ResourceType {
  std::string group;  // empty for the core group
  std::string version;
  std::string plural;
  std::string kind;
  bool namespaced = true;

  // "batch/v1", "v1"
  std::string api_version() const;
  // "jobs.batch", "pods": as RBAC and messages name it.
  std::string qualified_name() const;
};

// Which object of its kind. name_space is empty for objects of the cluster.
struct ObjectKey {
  std::string name_space;
  std::string name;

  auto operator<=>(const ObjectKey&) const = default;
  // "namespace/name" or "name"
  std::string to_string() const;
};

// Both throw os::Error (kInternal) for a key that cannot be one.
// The path of all objects of this kind, of one namespace when name_space is given.
std::string collection_path(const ResourceType& type, std::string_view name_space);
// The path of one object, or of its subresource ("status", "log"). The key needs a name, and a namespace
// where its kind has one.
std::string object_path(const ResourceType& type, const ObjectKey& key, std::string_view subresource = "");

// One path segment or query value; everything but letters, digits and "-._~" is escaped.
std::string percent_encode(std::string_view text);

// The kinds that nearly every operator needs.
namespace types {
inline const ResourceType kPods{"", "v1", "pods", "Pod"};
inline const ResourceType kEvents{"", "v1", "events", "Event"};
inline const ResourceType kConfigMaps{"", "v1", "configmaps", "ConfigMap"};
inline const ResourceType kSecrets{"", "v1", "secrets", "Secret"};
inline const ResourceType kNamespaces{"", "v1", "namespaces", "Namespace", false};
inline const ResourceType kPersistentVolumeClaims{"", "v1", "persistentvolumeclaims",
                                                  "PersistentVolumeClaim"};
inline const ResourceType kJobs{"batch", "v1", "jobs", "Job"};
inline const ResourceType kLeases{"coordination.k8s.io", "v1", "leases", "Lease"};
}  // namespace types

}  // namespace hyper2kvm::kube

template <>
struct std::hash<hyper2kvm::kube::ObjectKey> {
  std::size_t operator()(const hyper2kvm::kube::ObjectKey& key) const noexcept {
    return std::hash<std::string>()(key.name_space) * 31 + std::hash<std::string>()(key.name);
  }
};
