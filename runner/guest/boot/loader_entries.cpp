// Boot Loader Specification entries (uapi-group.org/specifications/specs/boot_loader_specification, type 1),
// and systemd-boot, which reads them from the ESP or /boot.
#include <algorithm>

#include "runner/guest/boot/boot_menu.h"
#include "runner/guest/system/text.h"

namespace hyper2kvm::guest {
namespace {

// Newer versions first: runs of digits count as numbers.
bool newer(std::string_view a, std::string_view b) {
  std::size_t i = 0;
  std::size_t j = 0;
  auto digit = [](char c) { return c >= '0' && c <= '9'; };
  while (i < a.size() && j < b.size()) {
    if (digit(a[i]) && digit(b[j])) {
      std::size_t a_end = i;
      std::size_t b_end = j;
      while (a_end < a.size() && digit(a[a_end])) ++a_end;
      while (b_end < b.size() && digit(b[b_end])) ++b_end;
      while (i < a_end - 1 && a[i] == '0') ++i;
      while (j < b_end - 1 && b[j] == '0') ++j;
      if (a_end - i != b_end - j) return a_end - i > b_end - j;
      for (; i < a_end; ++i, ++j)
        if (a[i] != b[j]) return a[i] > b[j];
    } else {
      if (a[i] != b[j]) return a[i] > b[j];
      ++i, ++j;
    }
  }
  return a.size() - i > b.size() - j;
}

}  // namespace

std::vector<BootEntry> read_loader_entries(GuestRoot& root, const std::string& directory,
                                           const std::function<std::string(std::string_view)>& expand) {
  std::vector<BootEntry> entries;
  for (const std::string& name : root.list(directory)) {
    if (!name.ends_with(".conf") || name.starts_with('.')) continue;
    std::optional<std::string> text = root.read_if_sane(directory + "/" + name, 65536);
    if (!text) continue;
    BootEntry entry;
    entry.id = name.substr(0, name.size() - 5);
    entry.file = directory + "/" + name;
    for (std::string_view line : lines_of(*text)) {
      line = trim(line);
      if (line.empty() || line.front() == '#') continue;
      std::size_t blank = std::min(line.find_first_of(" \t"), line.size());
      std::string_view key = line.substr(0, blank);
      std::string value(trim(line.substr(blank)));
      if (key == "title") {
        entry.title = value;
      } else if (key == "linux") {
        if (auto path = find_boot_file(root, value)) entry.kernel = *path;
      } else if (key == "initrd") {
        // Fedora writes several, and grub variables such as $tuned_initrd that are usually empty.
        std::string files = expand(value);
        for (std::string_view word : words_of(files)) add_initramfs(root, word, entry);
      } else if (key == "options") {
        entry.options += (entry.options.empty() ? "" : " ") + expand(value);
      }
    }
    entries.push_back(std::move(entry));
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const BootEntry& a, const BootEntry& b) { return newer(a.id, b.id); });
  return entries;
}

// The entries may lie apart from the loader and its settings, which are on the ESP: on an extended boot
// loader partition, which is then mounted at /boot. The loader shows those of both.
BootMenu read_systemd_boot(GuestRoot& root) {
  constexpr const char* kPlaces[] = {"/boot/efi", "/efi", "/boot"};
  BootMenu menu;
  std::string pattern;
  bool installed = false;
  for (const std::string place : kPlaces) {
    std::optional<std::string> settings = root.read_if_sane(place + "/loader/loader.conf", 65536);
    installed = installed || settings || root.is_directory(place + "/EFI/systemd");
    std::string text = settings.value_or("");
    for (std::string_view line : lines_of(text)) {
      std::vector<std::string_view> words = words_of(line);
      if (words.size() >= 2 && words[0] == "default") pattern = words[1];
    }
  }
  if (!installed) return menu;
  if (pattern.ends_with(".conf")) pattern.resize(pattern.size() - 5);
  bool found = false;
  for (const std::string place : kPlaces) {
    for (BootEntry& entry : read_loader_entries(root, place + "/loader/entries",
                                                [](std::string_view text) { return std::string(text); })) {
      menu.files.push_back(entry.file);
      entry.position = entry.id + ".conf";
      if (entry.kernel.empty()) continue;
      bool matches = pattern.ends_with('*') ? entry.id.starts_with(pattern.substr(0, pattern.size() - 1))
                                            : entry.id == pattern;
      if (!found && !pattern.empty() && matches) entry.is_default = found = true;
      menu.entries.push_back(std::move(entry));
    }
  }
  if (!menu.entries.empty()) menu.loader = "systemd-boot";
  return menu;
}

}  // namespace hyper2kvm::guest
