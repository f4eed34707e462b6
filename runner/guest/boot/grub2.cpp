// GRUB 2: grub.cfg as grub-mkconfig writes it, its environment block, and Boot Loader Specification entries
// where the configuration asks for them (blscfg).
//
// grub.cfg is a script. This reads its shape (menu entries, submenus, `set`), not its conditions: both
// branches of an `if` are seen, which is what an editor of text needs, and for the default the last plain
// value wins, as it does in what grub-mkconfig writes.
#include <algorithm>
#include <map>

#include "runner/guest/boot/boot_menu.h"
#include "runner/guest/boot/grub_environment.h"
#include "runner/guest/system/text.h"

namespace hyper2kvm::guest {
namespace {

constexpr std::size_t kMostEntries = 1000;

// Words of a grub line with quotes undone.
std::vector<std::string> grub_words(std::string_view line) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = '\0';
  for (std::size_t at = 0; at < line.size(); ++at) {
    char c = line[at];
    if (quote != '\0') {
      if (c == quote)
        quote = '\0';
      else if (c == '\\' && quote == '"' && at + 1 < line.size())
        word += line[++at];
      else
        word += c;
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (c == '\\' && at + 1 < line.size()) {
      word += line[++at];
      in_word = true;
    } else if (c == ' ' || c == '\t') {
      if (in_word) words.push_back(std::move(word));
      word.clear();
      in_word = false;
    } else if (c == '#' && !in_word) {
      break;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (in_word) words.push_back(std::move(word));
  return words;
}

std::map<std::string, std::string> read_environment(GuestRoot& root, const std::string& directory) {
  return parse_grub_environment(root.read_if_sane(directory + "/grubenv", 65536).value_or(""));
}

std::string expand(std::string_view text, const std::map<std::string, std::string>& variables) {
  std::string result;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '$') {
      result += text[at];
      continue;
    }
    bool braces = at + 1 < text.size() && text[at + 1] == '{';
    std::size_t begin = at + (braces ? 2 : 1);
    std::size_t end = begin;
    while (end < text.size() &&
           (std::isalnum(static_cast<unsigned char>(text[end])) != 0 || text[end] == '_'))
      ++end;
    auto found = variables.find(std::string(text.substr(begin, end - begin)));
    if (found != variables.end()) result += found->second;
    at = braces && end < text.size() && text[end] == '}' ? end : end - 1;
  }
  return result;
}

bool is_linux_command(std::string_view word) {
  return word == "linux" || word == "linux16" || word == "linuxefi" || word == "linux_xen";
}
bool is_initrd_command(std::string_view word) {
  return word == "initrd" || word == "initrd16" || word == "initrdefi";
}

// One entry as it stands in the file, with its place in the menu.
struct Parsed {
  BootEntry entry;
  std::string position;                  // "0", "1>2"
  std::vector<std::string> ids, titles;  // of the submenus and the entry
};

class Parser {
 public:
  Parser(GuestRoot& root, std::string file, const std::map<std::string, std::string>& environment)
      : root_(root), file_(std::move(file)), variables_(environment) {}

  void parse(std::string_view text) {
    for (std::string_view line : lines_of(text)) take_line(line);
  }

  std::vector<Parsed> entries;
  std::string default_value;
  bool uses_loader_entries = false;
  std::string loader_entries_position;
  const std::map<std::string, std::string>& variables() const { return variables_; }

 private:
  struct Level {
    bool submenu = false;
    std::size_t next = 0;  // position of the next entry in it
    std::string position, id, title;
  };

  void take_line(std::string_view line) {
    std::vector<std::string> words = grub_words(trim(line));
    if (words.empty()) return;
    if (words[0] == "menuentry" || words[0] == "submenu") {
      begin(words);
      return;
    }
    if (words[0] == "}") {
      end_block();
      return;
    }
    // `function f {` and nothing else opens a block that is no menu.
    if (words[0] == "function" && words.back() == "{") {
      blocks_.push_back('f');
      return;
    }
    if (words[0] == "set" && words.size() >= 2) {
      std::size_t equals = words[1].find('=');
      if (equals == std::string::npos) return;
      std::string name = words[1].substr(0, equals);
      std::string value = words[1].substr(equals + 1);
      if (name == "default") {
        if (value.find("next_entry") == std::string::npos && value.find("prev_saved") == std::string::npos)
          default_value = expand(value, variables_);
      } else if (!value.empty() || !variables_.contains(name)) {
        variables_[name] = expand(value, variables_);
      }
      return;
    }
    if (words[0] == "blscfg") {
      uses_loader_entries = true;
      return;
    }
    if (!open_) return;
    if (is_linux_command(words[0]) && words.size() >= 2) {
      if (auto path = find_boot_file(root_, expand(words[1], variables_))) open_->entry.kernel = *path;
      for (std::size_t index = 2; index < words.size(); ++index)
        open_->entry.options += (index > 2 ? " " : "") + expand(words[index], variables_);
    } else if (is_initrd_command(words[0])) {
      for (std::size_t index = 1; index < words.size(); ++index)
        add_initramfs(root_, expand(words[index], variables_), open_->entry);
    }
  }

  void begin(const std::vector<std::string>& words) {
    bool submenu = words[0] == "submenu";
    std::string title = words.size() > 1 ? words[1] : "";
    std::string id;
    for (std::size_t index = 2; index + 1 < words.size(); ++index)
      if (words[index] == "--id" || words[index] == "$menuentry_id_option" ||
          words[index] == "${menuentry_id_option}")
        id = words[index + 1];
    Level& level = levels_.back();
    std::string position =
        (level.position.empty() ? "" : level.position + ">") + std::to_string(level.next++);
    if (submenu) {
      Level below;
      below.submenu = true;
      below.position = position;
      below.id = id;
      below.title = title;
      levels_.push_back(below);
      blocks_.push_back('s');
      return;
    }
    Parsed parsed;
    parsed.entry.title = title;
    parsed.entry.id = id;
    parsed.entry.file = file_;
    parsed.position = position;
    for (const Level& above : levels_)
      if (above.submenu) {
        parsed.ids.push_back(above.id);
        parsed.titles.push_back(above.title);
      }
    parsed.ids.push_back(id);
    parsed.titles.push_back(title);
    open_ = std::move(parsed);
    blocks_.push_back('m');
  }

  void end_block() {
    if (blocks_.empty()) return;
    char kind = blocks_.back();
    blocks_.pop_back();
    if (kind == 's' && levels_.size() > 1) levels_.pop_back();
    if (kind == 'm' && open_) {
      if (entries.size() < kMostEntries) entries.push_back(std::move(*open_));
      open_.reset();
    }
  }

  GuestRoot& root_;
  std::string file_;
  std::map<std::string, std::string> variables_;
  std::vector<Level> levels_{Level{}};
  std::string blocks_;
  std::optional<Parsed> open_;
};

// "0", "1>2", "gnulinux-advanced-UUID>gnulinux-6.1-UUID", "Advanced options>Debian 6.1".
bool names_entry(std::string_view value, const Parsed& parsed) {
  if (value == parsed.position) return true;
  std::vector<std::string> parts;
  while (true) {
    std::size_t mark = value.find('>');
    parts.emplace_back(value.substr(0, mark));
    if (mark == std::string_view::npos) break;
    value.remove_prefix(mark + 1);
  }
  auto matches = [&parts](const std::vector<std::string>& ids, const std::vector<std::string>& titles) {
    for (std::size_t index = 0; index < parts.size(); ++index)
      if (parts[index].empty() || (parts[index] != ids[index] && parts[index] != titles[index])) return false;
    return true;
  };
  if (parts.size() == parsed.ids.size()) return matches(parsed.ids, parsed.titles);
  // An entry of a submenu may be named by its own id alone.
  return parts.size() == 1 && !parts[0].empty() && parts[0] == parsed.ids.back();
}

// Red Hat's UEFI machines had their whole configuration on the ESP, others a stub that leads to /boot.
std::vector<std::string> configuration_directories(const GuestRoot& root) {
  std::vector<std::string> directories;
  for (const std::string top : {"/boot/efi/EFI", "/efi/EFI"})
    for (const std::string& vendor : root.list(top)) directories.push_back(top + "/" + vendor);
  directories.emplace_back("/boot/grub2");
  directories.emplace_back("/boot/grub");
  return directories;
}

// The menu of one configuration file.
void read_configuration(GuestRoot& root, const std::string& directory, BootMenu& menu) {
  std::string file = directory + "/grub.cfg";
  std::optional<std::string> text = root.read_if_sane(file);
  if (!text) return;
  std::map<std::string, std::string> environment = read_environment(root, directory);
  Parser parser(root, file, environment);
  parser.parse(*text);
  std::string chosen = parser.default_value;
  if (chosen == "saved" || chosen.empty()) chosen = environment["saved_entry"];
  std::vector<BootEntry> entries;
  bool found = false;
  if (parser.uses_loader_entries) {
    auto expand_variable = [&parser](std::string_view options) {
      return expand(options, parser.variables());
    };
    for (BootEntry& entry : read_loader_entries(root, "/boot/loader/entries", expand_variable)) {
      menu.files.push_back(entry.file);
      entry.position = entry.id;
      if (entry.kernel.empty()) continue;
      if (!found && !chosen.empty() && (chosen == entry.id || chosen == entry.title))
        entry.is_default = found = true;
      entries.push_back(std::move(entry));
    }
    if (!found && all_digits(chosen) && chosen.size() < 4 && std::stoul(chosen) < entries.size())
      entries[std::stoul(chosen)].is_default = found = true;
  }
  for (Parsed& parsed : parser.entries) {
    if (parsed.entry.kernel.empty()) continue;
    if (!found && !chosen.empty() && names_entry(chosen, parsed)) parsed.entry.is_default = found = true;
    parsed.entry.position = parsed.position;
    entries.push_back(std::move(parsed.entry));
  }
  // Every configuration is kept in order; the first with entries is the one that is used.
  menu.loader = "grub2";
  menu.files.push_back(file);
  if (menu.entries.empty()) menu.entries = std::move(entries);
}

}  // namespace

BootMenu read_grub2(GuestRoot& root) {
  BootMenu menu;
  for (const std::string& directory : configuration_directories(root))
    read_configuration(root, directory, menu);
  return menu;
}

}  // namespace hyper2kvm::guest
