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
        for (std::string_view word : words_of(files))
          if (auto path = find_boot_file(root, word)) entry.initramfs.push_back(*path);
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

BootMenu read_systemd_boot(GuestRoot& root) {
  BootMenu menu;
  for (const char* top : {"/boot/efi", "/efi", "/boot"}) {
    std::string place = top;
    std::vector<BootEntry> entries = read_loader_entries(
        root, place + "/loader/entries", [](std::string_view text) { return std::string(text); });
    std::optional<std::string> settings = root.read_if_sane(place + "/loader/loader.conf", 65536);
    if (entries.empty() || (!settings && !root.is_directory(place + "/EFI/systemd"))) continue;
    menu.loader = "systemd-boot";
    std::string pattern;
    std::string lines = settings.value_or("");
    for (std::string_view line : lines_of(lines)) {
      std::vector<std::string_view> words = words_of(line);
      if (words.size() >= 2 && words[0] == "default") pattern = words[1];
    }
    bool found = false;
    for (BootEntry& entry : entries) {
      menu.files.push_back(entry.file);
      entry.position = entry.id + ".conf";
      if (entry.kernel.empty()) continue;
      std::string stem = pattern;
      if (stem.ends_with(".conf")) stem.resize(stem.size() - 5);
      bool matches =
          stem.ends_with('*') ? entry.id.starts_with(stem.substr(0, stem.size() - 1)) : entry.id == stem;
      if (!found && !stem.empty() && matches) entry.is_default = found = true;
      menu.entries.push_back(std::move(entry));
    }
    if (!menu.entries.empty()) break;
  }
  return menu;
}

}  // namespace hyper2kvm::guest
