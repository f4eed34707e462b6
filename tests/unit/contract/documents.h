// A small valid manifest, and what a parse of a change of it says.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "runner/contract/manifest.h"
#include "runner/os/error.h"

namespace hyper2kvm::contract {

inline nlohmann::json small_manifest() {
  return nlohmann::json::parse(R"({
    "manifest_version": "1.0",
    "disks": [{"id": "disk-0", "source_format": "vmdk", "bytes": 4096, "local_path": "disk-0.vmdk"}]
  })");
}

// The small manifest with one place (a JSON pointer) set to a value.
inline nlohmann::json manifest_with(const std::string& place, const nlohmann::json& value) {
  nlohmann::json document = small_manifest();
  document[nlohmann::json::json_pointer(place)] = value;
  return document;
}

inline ParsedManifest parsed(const nlohmann::json& document) {
  return parse_manifest(document.dump(), "m.json");
}

inline Manifest manifest_of(const nlohmann::json& document) { return parsed(document).manifest; }

struct Refusal {
  std::string sentence = "(accepted)";
  os::ErrorKind kind = os::ErrorKind::kInternal;
};

inline Refusal refusal_of_text(const std::string& text) {
  try {
    parse_manifest(text, "m.json");
  } catch (const os::Error& error) {
    return {error.sentence(), error.kind()};
  }
  return {};
}

inline std::string refusal(const nlohmann::json& document) {
  return refusal_of_text(document.dump()).sentence;
}

}  // namespace hyper2kvm::contract
