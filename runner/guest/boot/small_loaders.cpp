// The loaders whose configuration is a flat list: extlinux (syslinux), and GRUB 0.97, "legacy".
#include <algorithm>

#include "runner/guest/boot/boot_menu.h"
#include "runner/guest/system/text.h"

namespace hyper2kvm::guest {
namespace {

std::pair<std::string_view, std::string_view> split_first(std::string_view line,
                                                          std::string_view separators) {
  line = trim(line);
  std::size_t end = std::min(line.find_first_of(separators), line.size());
  std::string_view rest = line.substr(end);
  std::size_t begin = std::min(rest.find_first_not_of(separators), rest.size());
  return {line.substr(0, end), trim(rest.substr(begin))};
}

}  // namespace

BootMenu read_extlinux(GuestRoot& root) {
  BootMenu menu;
  for (const char* place :
       {"/boot/extlinux.conf", "/boot/extlinux/extlinux.conf", "/boot/syslinux/syslinux.cfg",
        "/boot/syslinux/extlinux.conf", "/extlinux.conf"}) {
    std::optional<std::string> text = root.read_if_sane(place);
    if (!text) continue;
    menu.loader = "extlinux";
    menu.files.emplace_back(place);
    std::string chosen;
    std::vector<BootEntry> entries;
    bool marked = false;
    for (std::string_view line : lines_of(*text)) {
      auto [word, value] = split_first(line, " \t");
      std::string key = lower(word);
      if (key == "label") {
        entries.emplace_back();
        entries.back().id = value;
        entries.back().position = value;
        entries.back().title = value;
        entries.back().file = place;
      } else if (entries.empty()) {
        if (key == "default" || key == "ontimeout") chosen = value;
      } else if (key == "default") {
        chosen = value;
      } else if (key == "menu") {
        auto [second, rest] = split_first(value, " \t");
        if (lower(second) == "default" && !marked) entries.back().is_default = marked = true;
        if (lower(second) == "label") entries.back().title = rest;
      } else if (key == "kernel" || key == "linux") {
        // "../vmlinuz-linux" in /boot/syslinux/syslinux.cfg.
        if (auto path = find_boot_file(root, value, place)) entries.back().kernel = *path;
      } else if (key == "initrd") {
        std::string list(value);
        std::replace(list.begin(), list.end(), ',', ' ');
        for (std::string_view one : words_of(list)) add_initramfs(root, one, entries.back(), place);
      } else if (key == "append") {
        entries.back().options = value;
        // An older way to name the initramfs.
        for (std::string_view option : words_of(value))
          if (option.starts_with("initrd=")) add_initramfs(root, option.substr(7), entries.back(), place);
      }
    }
    for (BootEntry& entry : entries) {
      if (entry.kernel.empty()) continue;
      if (!marked) entry.is_default = !chosen.empty() && entry.id == chosen;
      menu.entries.push_back(std::move(entry));
    }
    if (!menu.entries.empty()) break;
  }
  return menu;
}

BootMenu read_grub_legacy(GuestRoot& root) {
  BootMenu menu;
  for (const char* place : {"/boot/grub/menu.lst", "/boot/grub/grub.conf"}) {
    std::optional<std::string> text = root.read_if_sane(place);
    if (!text) continue;
    menu.loader = "grub-legacy";
    menu.files.emplace_back(place);
    std::string chosen = "0";
    std::vector<BootEntry> entries;
    for (std::string_view line : lines_of(*text)) {
      auto [word, value] = split_first(line, " \t=");
      if (word.empty() || word.front() == '#') continue;
      if (word == "default" && entries.empty()) {
        chosen = value;
      } else if (word == "title") {
        entries.emplace_back();
        entries.back().title = value;
        entries.back().file = place;
      } else if (entries.empty()) {
        continue;
      } else if (word == "kernel") {
        std::vector<std::string_view> words = words_of(value);
        // Options of the command itself stand before the path.
        std::size_t index = 0;
        while (index < words.size() && words[index].starts_with("--")) ++index;
        if (index < words.size())
          if (auto path = find_boot_file(root, words[index])) entries.back().kernel = *path;
        for (++index; index < words.size(); ++index)
          entries.back().options += (entries.back().options.empty() ? "" : " ") + std::string(words[index]);
      } else if (word == "initrd") {
        add_initramfs(root, value, entries.back());
      }
    }
    std::size_t index = all_digits(chosen) && chosen.size() < 4 ? std::stoul(chosen) : 0;
    for (std::size_t at = 0; at < entries.size(); ++at) {
      if (entries[at].kernel.empty()) continue;
      entries[at].is_default = at == index;
      entries[at].position = std::to_string(at);
      menu.entries.push_back(std::move(entries[at]));
    }
    if (!menu.entries.empty()) break;
  }
  return menu;
}

}  // namespace hyper2kvm::guest
