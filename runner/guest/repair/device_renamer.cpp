#include "runner/guest/repair/device_renamer.h"

#include "runner/guest/storage/device_name.h"
#include "runner/guest/system/text.h"

namespace hyper2kvm::guest {
namespace {

bool is_resume(std::string_view parameter) { return parameter == "resume" || parameter == "real_resume"; }

bool is_root(std::string_view parameter) { return parameter == "root" || parameter == "real_root"; }

bool depends_on_attachment(NameKind kind) { return kind != NameKind::kStable && kind != NameKind::kOther; }

std::string unquoted(std::string_view text) {
  text = trim(text);
  if (text.size() >= 2 && (text.front() == '"' || text.front() == '\'') && text.back() == text.front())
    text = text.substr(1, text.size() - 2);
  return std::string(text);
}

}  // namespace

RenameDevice device_renamer(Repair& repair, const std::string& file, bool has_initramfs) {
  return [&repair, file, has_initramfs](std::string_view parameter, std::string_view device) -> std::string {
    ResolvedDevice resolved = resolve_device(device, is_resume(parameter) ? "swap" : "", repair.storage);
    if (!depends_on_attachment(resolved.name.kind)) return "";
    // The root is known for certain: it is what is mounted.
    if (is_root(parameter)) {
      const Volume* root = repair.storage.find(repair.root_volume);
      if (root != nullptr && root->disk >= 0 && resolved.volume == nullptr) resolved.volume = root;
    }
    if (resolved.volume == nullptr) {
      std::string problem = file + ": " + std::string(parameter) + "=" + std::string(device) +
                            " is on none of the machine's disks";
      repair.root.warn(problem + (is_resume(parameter) ? "; the guest does not wait for it any more." : "."));
      return is_resume(parameter) ? std::string(kNoResume) : "";
    }
    if (!has_initramfs)
      return resolved.volume->part_uuid.empty() ? "" : "PARTUUID=" + resolved.volume->part_uuid;
    return stable_name(*resolved.volume);
  };
}

std::string rename_resume_setting(std::string_view text, const Storage& storage) {
  constexpr std::string_view kSetting = "RESUME=";
  std::string result;
  while (!text.empty()) {
    std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    std::string out(line);
    if (line.starts_with(kSetting)) {
      ResolvedDevice resolved = resolve_device(unquoted(line.substr(kSetting.size())), "swap", storage);
      if (depends_on_attachment(resolved.name.kind)) {
        std::string stable = resolved.volume == nullptr ? "" : stable_name(*resolved.volume);
        out = std::string(kSetting) + (stable.empty() ? "none" : stable);
      }
    }
    result += out;
    if (end == std::string_view::npos) break;
    result += '\n';
    text.remove_prefix(end + 1);
  }
  return result;
}

}  // namespace hyper2kvm::guest
