#include "operator/kube/object.h"

#include <algorithm>

#include "operator/kube/timestamp.h"

namespace hyper2kvm::kube {

const Json* find_at(const Json& object, std::initializer_list<std::string_view> path) {
  const Json* at = &object;
  for (std::string_view name : path) {
    if (!at->is_object()) return nullptr;
    auto found = at->find(name);
    if (found == at->end()) return nullptr;
    at = &*found;
  }
  return at;
}

std::string text_at(const Json& object, std::initializer_list<std::string_view> path) {
  const Json* found = find_at(object, path);
  return found != nullptr && found->is_string() ? found->get<std::string>() : "";
}

std::int64_t integer_at(const Json& object, std::initializer_list<std::string_view> path,
                        std::int64_t otherwise) {
  const Json* found = find_at(object, path);
  return found != nullptr && found->is_number_integer() ? found->get<std::int64_t>() : otherwise;
}

bool flag_at(const Json& object, std::initializer_list<std::string_view> path, bool otherwise) {
  const Json* found = find_at(object, path);
  return found != nullptr && found->is_boolean() ? found->get<bool>() : otherwise;
}

ObjectKey key_of(const Json& object) {
  return {text_at(object, {"metadata", "namespace"}), text_at(object, {"metadata", "name"})};
}

std::string uid_of(const Json& object) { return text_at(object, {"metadata", "uid"}); }

std::string resource_version_of(const Json& object) {
  return text_at(object, {"metadata", "resourceVersion"});
}

std::int64_t generation_of(const Json& object) { return integer_at(object, {"metadata", "generation"}); }

bool is_being_deleted(const Json& object) {
  return !text_at(object, {"metadata", "deletionTimestamp"}).empty();
}

std::string label_of(const Json& object, std::string_view name) {
  return text_at(object, {"metadata", "labels", name});
}

std::string annotation_of(const Json& object, std::string_view name) {
  return text_at(object, {"metadata", "annotations", name});
}

void remove_managed_fields(Json& object) {
  if (!object.is_object()) return;
  auto metadata = object.find("metadata");
  if (metadata != object.end() && metadata->is_object()) metadata->erase("managedFields");
}

Json controller_reference(const ResourceType& owner_type, const Json& owner) {
  return {{"apiVersion", owner_type.api_version()},
          {"kind", owner_type.kind},
          {"name", key_of(owner).name},
          {"uid", uid_of(owner)},
          {"controller", true},
          {"blockOwnerDeletion", true}};
}

std::optional<Owner> controller_of(const Json& object) {
  const Json* references = find_at(object, {"metadata", "ownerReferences"});
  if (references == nullptr || !references->is_array()) return std::nullopt;
  for (const Json& reference : *references)
    if (flag_at(reference, {"controller"}))
      return Owner{text_at(reference, {"apiVersion"}), text_at(reference, {"kind"}),
                   text_at(reference, {"name"}), text_at(reference, {"uid"})};
  return std::nullopt;
}

bool has_finalizer(const Json& object, std::string_view finalizer) {
  const Json* finalizers = find_at(object, {"metadata", "finalizers"});
  if (finalizers == nullptr || !finalizers->is_array()) return false;
  return std::any_of(finalizers->begin(), finalizers->end(), [&](const Json& entry) {
    return entry.is_string() && entry.get_ref<const std::string&>() == finalizer;
  });
}

bool add_finalizer(Json& object, std::string_view finalizer) {
  if (has_finalizer(object, finalizer)) return false;
  Json& finalizers = object["metadata"]["finalizers"];
  if (!finalizers.is_array()) finalizers = Json::array();
  finalizers.push_back(std::string(finalizer));
  return true;
}

bool remove_finalizer(Json& object, std::string_view finalizer) {
  if (!has_finalizer(object, finalizer)) return false;
  Json left = Json::array();
  for (const Json& entry : object["metadata"]["finalizers"])
    if (!entry.is_string() || entry.get_ref<const std::string&>() != finalizer) left.push_back(entry);
  object["metadata"]["finalizers"] = std::move(left);
  return true;
}

std::vector<Condition> conditions_of(const Json& object) {
  std::vector<Condition> conditions;
  const Json* list = find_at(object, {"status", "conditions"});
  if (list == nullptr || !list->is_array()) return conditions;
  for (const Json& entry : *list)
    conditions.push_back({text_at(entry, {"type"}), text_at(entry, {"status"}), text_at(entry, {"reason"}),
                          text_at(entry, {"message"}), integer_at(entry, {"observedGeneration"}),
                          text_at(entry, {"lastTransitionTime"})});
  return conditions;
}

std::optional<Condition> find_condition(const std::vector<Condition>& conditions, std::string_view type) {
  auto found = std::find_if(conditions.begin(), conditions.end(),
                            [&](const Condition& condition) { return condition.type == type; });
  return found == conditions.end() ? std::nullopt : std::optional(*found);
}

bool set_condition(std::vector<Condition>& conditions, Condition condition, Calendar now) {
  auto found = std::find_if(conditions.begin(), conditions.end(),
                            [&](const Condition& other) { return other.type == condition.type; });
  if (found == conditions.end()) {
    condition.last_transition_time = to_time(now);
    conditions.push_back(std::move(condition));
    return true;
  }
  condition.last_transition_time = found->status == condition.status && !found->last_transition_time.empty()
                                       ? found->last_transition_time
                                       : to_time(now);
  if (*found == condition) return false;
  *found = std::move(condition);
  return true;
}

Json to_json(const std::vector<Condition>& conditions) {
  Json list = Json::array();
  for (const Condition& condition : conditions)
    list.push_back({{"type", condition.type},
                    {"status", condition.status},
                    {"reason", condition.reason},
                    {"message", condition.message},
                    {"observedGeneration", condition.observed_generation},
                    {"lastTransitionTime", condition.last_transition_time}});
  return list;
}

}  // namespace hyper2kvm::kube
