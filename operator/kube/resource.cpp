#include "operator/kube/resource.h"

#include "runner/os/error.h"

namespace hyper2kvm::kube {

std::string ResourceType::api_version() const { return group.empty() ? version : group + "/" + version; }

std::string ResourceType::qualified_name() const { return group.empty() ? plural : plural + "." + group; }

std::string ObjectKey::to_string() const { return name_space.empty() ? name : name_space + "/" + name; }

std::string percent_encode(std::string_view text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(text.size());
  for (char character : text) {
    auto byte = static_cast<unsigned char>(character);
    bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                 (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_' || byte == '~';
    if (plain) {
      encoded += character;
    } else {
      encoded += '%';
      encoded += kDigits[byte >> 4];
      encoded += kDigits[byte & 15];
    }
  }
  return encoded;
}

namespace {

// "." and ".." would be taken for steps of the path; the API server refuses them as names too.
std::string path_segment(const ResourceType& type, std::string_view text) {
  if (text.empty() || text == "." || text == "..")
    throw os::Error(os::ErrorKind::kInternal, type.qualified_name(),
                    "\"" + std::string(text) + "\" is not a name of an object or a namespace");
  return percent_encode(text);
}

}  // namespace

std::string collection_path(const ResourceType& type, std::string_view name_space) {
  std::string path = type.group.empty() ? "/api/" + type.version : "/apis/" + type.group + "/" + type.version;
  if (type.namespaced && !name_space.empty()) path += "/namespaces/" + path_segment(type, name_space);
  return path + "/" + type.plural;
}

std::string object_path(const ResourceType& type, const ObjectKey& key, std::string_view subresource) {
  if (type.namespaced && key.name_space.empty())
    throw os::Error(os::ErrorKind::kInternal, type.qualified_name() + " " + key.name,
                    "is asked for without its namespace");
  std::string path = collection_path(type, key.name_space) + "/" + path_segment(type, key.name);
  if (!subresource.empty()) path += "/" + std::string(subresource);
  return path;
}

}  // namespace hyper2kvm::kube
