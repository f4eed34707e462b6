// The answer of `inspect` for a person. Source of the keys: docs/inspect.md.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace hyper2kvm::cli {

// Pure. Keys that are absent are left out; texts of the guest are made printable.
std::string inspect_text(const nlohmann::json& found);

}  // namespace hyper2kvm::cli
