#include "runner/guest/boot/grub_environment.h"

#include "runner/guest/system/text.h"

namespace hyper2kvm::guest {
namespace {

constexpr std::string_view kHeader = "# GRUB Environment Block\n";
constexpr std::size_t kSize = 1024;

}  // namespace

std::map<std::string, std::string> parse_grub_environment(std::string_view text) {
  std::map<std::string, std::string> values;
  if (!text.starts_with(kHeader)) return values;
  for (std::string_view line : lines_of(text)) {
    std::size_t equals = line.find('=');
    if (line.starts_with('#') || equals == std::string_view::npos) continue;
    values[std::string(line.substr(0, equals))] = line.substr(equals + 1);
  }
  return values;
}

std::optional<std::string> edit_grub_environment(
    std::string_view text,
    const std::function<std::string(std::string_view name, std::string_view value)>& change,
    const std::map<std::string, std::string>& set) {
  if (!text.starts_with(kHeader)) return std::nullopt;
  std::string result(kHeader);
  std::map<std::string, std::string> left = set;
  for (std::string_view line : lines_of(text.substr(kHeader.size()))) {
    std::size_t equals = line.find('=');
    // The filling, or a comment.
    if (line.starts_with('#')) {
      if (line.find_first_not_of('#') != std::string_view::npos) result += std::string(line) + "\n";
      continue;
    }
    if (equals == std::string_view::npos) continue;
    std::string name(line.substr(0, equals));
    std::string value = change(name, line.substr(equals + 1));
    if (auto found = left.find(name); found != left.end()) {
      value = found->second;
      left.erase(found);
    }
    result += name + "=" + value + "\n";
  }
  for (const auto& [name, value] : left) result += name + "=" + value + "\n";
  if (result.size() > kSize) return std::nullopt;
  result.resize(kSize, '#');
  return result;
}

}  // namespace hyper2kvm::guest
