#include "operator/kube/watch_event.h"

#include "operator/kube/api_error.h"

namespace hyper2kvm::kube {

WatchEvent decode_watch_event(std::string_view line, const ResourceType& type) {
  Json parsed = Json::parse(line, nullptr, false);
  std::string name = text_at(parsed, {"type"});
  const Json* object = find_at(parsed, {"object"});
  if (object == nullptr || !object->is_object())
    throw os::Error(os::ErrorKind::kSystem, type.qualified_name(), "the watch sent a line that is no event");
  if (name == "ERROR") throw ApiError("watch", type.qualified_name(), ApiStatus::from_json(*object));
  WatchEventType event;
  if (name == "ADDED")
    event = WatchEventType::kAdded;
  else if (name == "MODIFIED")
    event = WatchEventType::kModified;
  else if (name == "DELETED")
    event = WatchEventType::kDeleted;
  else if (name == "BOOKMARK")
    event = WatchEventType::kBookmark;
  else
    throw os::Error(os::ErrorKind::kSystem, type.qualified_name(),
                    "the watch sent an event of the unknown type \"" + name + "\"");
  return {event, std::move(parsed["object"])};
}

}  // namespace hyper2kvm::kube
