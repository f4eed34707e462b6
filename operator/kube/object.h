// What every Kubernetes object has, read from and written to its JSON: names, owners, finalizers, conditions.
//
// Reading is tolerant: a field that is absent, or has a type that it should not have, reads as empty. So a
// strange object costs one strange object and not the operator.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/kube/clock.h"
#include "operator/kube/resource.h"

namespace hyper2kvm::kube {

using Json = nlohmann::json;

// Reads object at a path of member names: text_at(pod, {"status", "phase"}).
const Json* find_at(const Json& object, std::initializer_list<std::string_view> path);
std::string text_at(const Json& object, std::initializer_list<std::string_view> path);
std::int64_t integer_at(const Json& object, std::initializer_list<std::string_view> path,
                        std::int64_t otherwise = 0);
bool flag_at(const Json& object, std::initializer_list<std::string_view> path, bool otherwise = false);

// --- metadata ---
ObjectKey key_of(const Json& object);
std::string uid_of(const Json& object);
std::string resource_version_of(const Json& object);
std::int64_t generation_of(const Json& object);
// True once somebody asked for its deletion.
bool is_being_deleted(const Json& object);
std::string label_of(const Json& object, std::string_view name);
std::string annotation_of(const Json& object, std::string_view name);
// Who manages which field: of no use to a controller, and often half of the object's size.
void remove_managed_fields(Json& object);

// --- owners ---
// The ownerReference with controller=true that a child of owner carries, so that deleting the owner deletes
// the child and a controller finds the owner from the child.
Json controller_reference(const ResourceType& owner_type, const Json& owner);
struct Owner {
  std::string api_version;
  std::string kind;
  std::string name;
  std::string uid;
};
// The owner that controls this object, if one does.
std::optional<Owner> controller_of(const Json& object);

// --- finalizers ---
bool has_finalizer(const Json& object, std::string_view finalizer);
// Both return whether the object changed.
bool add_finalizer(Json& object, std::string_view finalizer);
bool remove_finalizer(Json& object, std::string_view finalizer);

// --- conditions ---
struct Condition {
  std::string type;
  std::string status;  // "True", "False" or "Unknown"
  std::string reason;  // one word in CamelCase
  std::string message;
  std::int64_t observed_generation = 0;
  std::string last_transition_time;  // set by set_condition

  bool operator==(const Condition&) const = default;
};
std::vector<Condition> conditions_of(const Json& object);
std::optional<Condition> find_condition(const std::vector<Condition>& conditions, std::string_view type);
// Adds or replaces the condition of that type. lastTransitionTime becomes `now` only where the status
// changes, as `kubectl wait` and dashboards expect. Returns whether anything changed.
bool set_condition(std::vector<Condition>& conditions, Condition condition, Calendar now);
Json to_json(const std::vector<Condition>& conditions);

}  // namespace hyper2kvm::kube
