#include "runner/cli/edits_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runner/contract/text.h"

namespace hyper2kvm::cli {
namespace {

// As contract::printable, but tabs stay: a diff without them would show another file.
std::string printable_with_tabs(std::string_view line) {
  std::string result;
  line = line.substr(0, 4096);
  while (true) {
    std::size_t tab = std::min(line.find('\t'), line.size());
    result += contract::printable(line.substr(0, tab), 4096);
    if (tab == line.size()) return result;
    result += '\t';
    line.remove_prefix(tab + 1);
  }
}

}  // namespace

std::string text_in(const nlohmann::json& object, const char* key) {
  if (!object.is_object()) return "";
  auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return "";
  return found->get<std::string>();
}

std::string indented(std::string_view text, std::string_view indent) {
  std::string result;
  while (!text.empty()) {
    std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    result += std::string(indent) + printable_with_tabs(line) + "\n";
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return result;
}

std::string edits_text(const nlohmann::json& edits) {
  std::string result;
  if (!edits.is_array()) return result;
  for (const nlohmann::json& edit : edits) {
    result += "  " + contract::printable(text_in(edit, "action")) + " " +
              contract::printable(text_in(edit, "path"), 4096) + "\n";
    result += indented(text_in(edit, "reason"), "      ");
    result += indented(text_in(edit, "summary"), "      ");
    result += indented(text_in(edit, "diff"), "      ");
  }
  return result;
}

}  // namespace hyper2kvm::cli
