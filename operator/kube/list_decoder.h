// Reads one page of a list, object by object.
//
// A page of 500 pods is several megabytes of text and several times that as a tree. Each object is handed out
// and dropped as soon as its closing brace is read, so that only the caller decides what stays in memory.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "operator/kube/object.h"

namespace hyper2kvm::kube {

struct ListPage {
  // Of the list as a whole: where a watch goes on.
  std::string resource_version;
  // Empty on the last page.
  std::string continue_token;
};

using ObjectHandler = std::function<void(Json&& object)>;

// Lists leave apiVersion and kind out of their items; they are filled in from type. Throws os::Error
// (kSystem) when the text is not a list (an answer cut short by a proxy), after any number of objects have
// been handed out; what the handler throws passes through.
ListPage decode_list(std::string_view text, const ResourceType& type, const ObjectHandler& handler);

}  // namespace hyper2kvm::kube
