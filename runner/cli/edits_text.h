// The edits of a repair for a person: what, why, and the diff. Source of the keys: docs/inspect.md.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace hyper2kvm::cli {

// One block an edit, indented by two; empty where there is none. Guests are hostile: control characters of
// their files are shown as spaces.
std::string edits_text(const nlohmann::json& edits);

// Lines of `text`, each made printable and put after `indent`.
std::string indented(std::string_view text, std::string_view indent);
// A text of the object; "" where it is absent or no text.
std::string text_in(const nlohmann::json& object, const char* key);

}  // namespace hyper2kvm::cli
