#include "operator/kube/list_decoder.h"

#include "runner/os/error.h"

namespace hyper2kvm::kube {

ListPage decode_list(std::string_view text, const ResourceType& type, const ObjectHandler& handler) {
  bool in_items = false;
  // Depth 0 is the list itself, 1 its members, 2 the elements of "items".
  auto hand_out = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth == 1 && event == Json::parse_event_t::key) in_items = parsed == "items";
    if (depth != 2 || event != Json::parse_event_t::object_end || !in_items) return true;
    parsed["apiVersion"] = type.api_version();
    parsed["kind"] = type.kind;
    handler(std::move(parsed));
    return false;
  };
  Json list;
  try {
    list = Json::parse(text, hand_out);
  } catch (const Json::exception& error) {
    throw os::Error(os::ErrorKind::kSystem, type.qualified_name(),
                    std::string("the list that the server sent cannot be read: ") + error.what());
  }
  ListPage page{text_at(list, {"metadata", "resourceVersion"}), text_at(list, {"metadata", "continue"})};
  if (page.resource_version.empty())
    throw os::Error(os::ErrorKind::kSystem, type.qualified_name(), "the server did not send a list");
  return page;
}

}  // namespace hyper2kvm::kube
