// One line of a watch. Source: Kubernetes API concepts, "Efficient detection of changes"; meta/v1 WatchEvent.
#pragma once

#include <string_view>

#include "operator/kube/object.h"

namespace hyper2kvm::kube {

enum class WatchEventType {
  kAdded,
  kModified,
  kDeleted,   // the object as it was last
  kBookmark,  // no object, only a resource version up to which everything has been sent
};

struct WatchEvent {
  WatchEventType type;
  Json object;
};

// Throws ApiError for an ERROR event (subject: the type's name) and os::Error (kSystem) for what is no event.
WatchEvent decode_watch_event(std::string_view line, const ResourceType& type);

}  // namespace hyper2kvm::kube
