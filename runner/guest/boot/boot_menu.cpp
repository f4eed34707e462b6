#include "runner/guest/boot/boot_menu.h"

#include <array>

namespace hyper2kvm::guest {
namespace {

// Parameters of the kernel, dracut, mkinitcpio and genkernel that name a device of the guest.
constexpr std::string_view kDeviceParameters[] = {"root", "resume", "real_root", "real_resume",
                                                  "cryptdevice"};

// As the kernel's own limit.
constexpr std::size_t kLongestPath = 4096;

// Where a path of the loader's may be in the guest, the likely places first.
std::vector<std::string> candidates_for(const GuestRoot& root, std::string_view loader_path,
                                        std::string_view beside) {
  std::vector<std::string> candidates;
  if (loader_path.empty() || loader_path.size() > kLongestPath) return candidates;
  if (!beside.empty() && !loader_path.starts_with('/'))
    candidates.push_back(
        root.resolve(std::string(beside.substr(0, beside.rfind('/') + 1)) + std::string(loader_path),
                     /*follow_last=*/false));
  // "(hd0,1)/vmlinuz", "($root)/vmlinuz", "(hd0,msdos1)/boot/..."
  if (loader_path.starts_with('(')) {
    std::size_t close = loader_path.find(')');
    if (close == std::string_view::npos) return candidates;
    loader_path.remove_prefix(close + 1);
  }
  std::string path(loader_path);
  if (path.empty()) return candidates;
  if (path.front() != '/') path.insert(path.begin(), '/');
  // A subvolume's name stands before the path: "/@/boot/...", "/root/boot/...",
  // "/@/.snapshots/1/snapshot/boot/...".
  for (std::string rest = path; !rest.empty();) {
    bool below_boot = rest.starts_with("/boot/");
    for (const std::string& candidate :
         {below_boot ? rest : "/boot" + rest, below_boot ? "/boot" + rest : rest, "/boot/efi" + rest,
          "/efi" + rest})
      candidates.push_back(candidate);
    std::size_t slash = rest.find('/', 1);
    rest = slash == std::string::npos ? "" : rest.substr(slash);
  }
  return candidates;
}

bool is_boundary(char c) { return c == ' ' || c == '\t' || c == '"' || c == '\'' || c == '='; }

}  // namespace

const BootEntry* BootMenu::default_entry() const {
  for (const BootEntry& entry : entries)
    if (entry.is_default) return &entry;
  return nullptr;
}

std::optional<std::string> find_boot_file(const GuestRoot& root, std::string_view loader_path,
                                          std::string_view beside) {
  for (const std::string& candidate : candidates_for(root, loader_path, beside))
    if (root.is_file(candidate)) return candidate;
  return std::nullopt;
}

void add_initramfs(const GuestRoot& root, std::string_view loader_path, BootEntry& entry,
                   std::string_view beside) {
  std::optional<std::string> no_file;
  for (const std::string& candidate : candidates_for(root, loader_path, beside)) {
    NodeKind kind = root.status(candidate).kind;
    if (kind == NodeKind::kFile) {
      entry.initramfs.push_back(candidate);
      return;
    }
    if (kind != NodeKind::kAbsent && !no_file) no_file = candidate;
  }
  // A variable of the loader that is usually empty ($tuned_initrd) names nothing.
  if (loader_path.empty() || loader_path.front() == '$') return;
  entry.unusable.push_back(no_file.value_or(std::string(loader_path)));
}

std::string rename_devices(std::string_view line, const RenameDevice& rename) {
  std::string result(line);
  for (std::string_view parameter : kDeviceParameters) {
    std::string key = std::string(parameter) + "=/dev/";
    std::size_t at = 0;
    while ((at = result.find(key, at)) != std::string::npos) {
      if (at > 0 && !is_boundary(result[at - 1])) {
        at += key.size();
        continue;
      }
      std::size_t begin = at + parameter.size() + 1;
      std::size_t end = result.find_first_of(" \t\r\n\"'\\;:", begin);
      // by-path names have colons of their own.
      if (result.compare(begin, 18, "/dev/disk/by-path/") == 0)
        end = result.find_first_of(" \t\r\n\"'\\;", begin);
      if (end == std::string::npos) end = result.size();
      std::string replacement = rename(parameter, std::string_view(result).substr(begin, end - begin));
      if (replacement == kNoResume) {
        result.replace(at, end - at, replacement);
        at += replacement.size();
      } else if (!replacement.empty()) {
        result.replace(begin, end - begin, replacement);
        at = begin + replacement.size();
      } else {
        at = end;
      }
    }
  }
  return result;
}

BootMenu read_boot_menu(GuestRoot& root) {
  // systemd-boot and grub may share /boot/loader/entries (Fedora): whose own file is there decides.
  for (auto* reader : {read_grub2, read_systemd_boot, read_extlinux, read_grub_legacy}) {
    BootMenu menu = reader(root);
    if (!menu.entries.empty()) {
      bool has_default = menu.default_entry() != nullptr;
      if (!has_default) menu.entries.front().is_default = true;
      return menu;
    }
  }
  return {};
}

}  // namespace hyper2kvm::guest
