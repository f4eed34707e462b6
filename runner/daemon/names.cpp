#include "runner/daemon/names.h"

#include <fmt/format.h>

#include <cstdint>

namespace hyper2kvm::daemon {
namespace {

constexpr std::size_t kLongest = 200;  // leaves room for ".report.json" and a temporary name in 255 bytes

std::uint32_t fnv1a(std::string_view text) {
  std::uint32_t hash = 2166136261u;
  for (unsigned char c : text) hash = (hash ^ c) * 16777619u;
  return hash;
}

// Not in the middle of a UTF-8 character.
void cut(std::string& text, std::size_t longest) {
  if (text.size() <= longest) return;
  while (longest > 0 && (static_cast<unsigned char>(text[longest]) & 0xc0) == 0x80) --longest;
  text.resize(longest);
}

}  // namespace

ResultName result_name(std::string_view vm_name) {
  if (vm_name.empty()) return {"vm", false};
  std::string name(vm_name);
  for (char& c : name)
    if (c == '/' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '_';
  if (name[0] == '.') name[0] = '_';
  if (name == vm_name && name.size() <= kLongest) return {name, false};
  cut(name, kLongest - 9);
  return {fmt::format("{}-{:08x}", name, fnv1a(vm_name)), true};
}

std::string harmless(std::string_view name) {
  std::string result;
  for (char c : name.substr(0, 100)) result += c > 0x20 && c < 0x7f && c != '/' ? c : '_';
  return result;
}

}  // namespace hyper2kvm::daemon
