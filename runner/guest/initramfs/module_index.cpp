#include "runner/guest/initramfs/module_index.h"

#include <algorithm>
#include <array>
#include <memory>

#include "runner/guest/initramfs/initramfs.h"
#include "runner/guest/system/text.h"

namespace hyper2kvm::guest {
namespace {

constexpr std::uint32_t kMagic = 0xb007f457;
constexpr std::uint32_t kVersion = 0x00020001;
constexpr std::uint32_t kHasPrefix = 0x80000000;
constexpr std::uint32_t kHasValues = 0x40000000;
constexpr std::uint32_t kHasChildren = 0x20000000;
constexpr std::size_t kLongestKey = 4096;

// Offsets into a sorted list of entries instead of a tree of nodes: all entries of a node share its prefix.
class IndexWriter {
 public:
  explicit IndexWriter(const std::vector<IndexEntry>& entries) : entries_(entries) {
    put(kMagic);
    put(kVersion);
    put(0);  // of the root, below
    std::uint32_t root = entries.empty() ? 0 : write_node(0, entries.size(), 0);
    if (entries.empty()) {
      // A root without anything.
      root = static_cast<std::uint32_t>(bytes_.size());
    }
    patch(8, root);
  }
  std::string take() { return std::move(bytes_); }

 private:
  void put(std::uint32_t number) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes_ += static_cast<char>(number >> shift);
  }
  void patch(std::size_t at, std::uint32_t number) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes_[at++] = static_cast<char>(number >> shift);
  }

  // Writes the node of entries [begin, end), which share their first depth characters, after its children;
  // returns its offset with the flags that say what it has.
  std::uint32_t write_node(std::size_t begin, std::size_t end, std::size_t depth) {
    const std::string& first = entries_[begin].key;
    const std::string& last = entries_[end - 1].key;
    std::size_t shared = depth;
    while (shared < first.size() && shared < last.size() && first[shared] == last[shared]) ++shared;
    // Entries whose key ends here come first, because the list is sorted.
    std::size_t values_end = begin;
    while (values_end < end && entries_[values_end].key.size() == shared) ++values_end;
    std::vector<std::pair<unsigned char, std::uint32_t>> children;
    for (std::size_t child = values_end; child < end;) {
      char letter = entries_[child].key[shared];
      std::size_t child_end = child;
      while (child_end < end && entries_[child_end].key[shared] == letter) ++child_end;
      children.emplace_back(static_cast<unsigned char>(letter), write_node(child, child_end, shared + 1));
      child = child_end;
    }
    std::uint32_t offset = static_cast<std::uint32_t>(bytes_.size());
    if (shared > depth) {
      bytes_.append(first, depth, shared - depth);
      bytes_ += '\0';
      offset |= kHasPrefix;
    }
    if (!children.empty()) {
      bytes_ += static_cast<char>(children.front().first);
      bytes_ += static_cast<char>(children.back().first);
      std::size_t next = 0;
      for (unsigned letter = children.front().first; letter <= children.back().first; ++letter)
        put(children[next].first == letter ? children[next++].second : 0);
      offset |= kHasChildren;
    }
    if (values_end > begin) {
      put(static_cast<std::uint32_t>(values_end - begin));
      for (std::size_t value = begin; value < values_end; ++value) {
        put(entries_[value].priority);
        bytes_ += entries_[value].value;
        bytes_ += '\0';
      }
      offset |= kHasValues;
    }
    return offset;
  }

  const std::vector<IndexEntry>& entries_;
  std::string bytes_;
};

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c > 0 && c < 0x80; });
}

// modprobe takes - and _ for the same, but not inside a character class.
std::string normalised_alias(std::string_view alias) {
  std::string result(alias);
  bool in_class = false;
  for (char& c : result) {
    if (c == '[')
      in_class = true;
    else if (c == ']')
      in_class = false;
    else if (c == '-' && !in_class)
      c = '_';
  }
  return result;
}

}  // namespace

std::string binary_index(std::vector<IndexEntry> entries) {
  std::erase_if(entries, [](const IndexEntry& entry) {
    return entry.key.size() > kLongestKey || !is_ascii(entry.key) ||
           entry.value.find('\0') != std::string::npos;
  });
  std::stable_sort(entries.begin(), entries.end(), [](const IndexEntry& a, const IndexEntry& b) {
    return a.key != b.key ? a.key < b.key : a.priority < b.priority;
  });
  return IndexWriter(entries).take();
}

DependencyMap parse_dependencies(std::string_view modules_dep) {
  DependencyMap result;
  for (std::string_view line : lines_of(modules_dep)) {
    std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    std::string name = module_name(line.substr(0, colon));
    if (name.empty()) continue;
    ModuleDependencies& module = result[name];
    module.path = line.substr(0, colon);
    module.needs.clear();
    for (std::string_view need : words_of(line.substr(colon + 1))) module.needs.emplace_back(need);
  }
  return result;
}

std::map<std::string, std::string> make_indexes(const std::map<std::string, std::string>& present,
                                                const DependencyMap& dependencies,
                                                std::string_view modules_alias,
                                                std::string_view modules_softdep) {
  std::map<std::string, std::string> files;
  std::string& dep = files["modules.dep"];
  std::vector<IndexEntry> dep_entries;
  std::uint32_t priority = 0;
  for (const auto& [name, path] : present) {
    std::string line = path + ":";
    if (auto found = dependencies.find(name); found != dependencies.end())
      for (const std::string& need : found->second.needs)
        if (auto there = present.find(module_name(need)); there != present.end()) line += " " + there->second;
    dep += line + "\n";
    dep_entries.push_back({name, line, priority++});
  }
  files["modules.dep.bin"] = binary_index(std::move(dep_entries));

  std::string& alias = files["modules.alias"];
  alias = "# Aliases extracted from modules themselves.\n";
  std::vector<IndexEntry> alias_entries;
  priority = 0;
  for (std::string_view line : lines_of(modules_alias)) {
    if (!line.starts_with("alias ")) continue;
    std::vector<std::string_view> words = words_of(line);
    if (words.size() != 3 || !present.contains(module_name(std::string(words[2]) + ".ko"))) continue;
    alias += line;
    alias += '\n';
    alias_entries.push_back({normalised_alias(words[1]), std::string(words[2]), priority++});
  }
  files["modules.alias.bin"] = binary_index(std::move(alias_entries));

  std::string& softdep = files["modules.softdep"];
  softdep = "# Soft dependencies extracted from modules themselves.\n";
  for (std::string_view line : lines_of(modules_softdep)) {
    std::vector<std::string_view> words = words_of(line);
    if (words.size() < 3 || words[0] != "softdep" ||
        !present.contains(module_name(std::string(words[1]) + ".ko")))
      continue;
    softdep += line;
    softdep += '\n';
  }
  return files;
}

}  // namespace hyper2kvm::guest
