#include "runner/appliance/agent/modules.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "runner/appliance/kernel.h"
#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::appliance::agent {
namespace {

// The files come from our own image; the limit only keeps a mistake small.
constexpr std::size_t kLargestIndex = 4u << 20;

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (true) {
    std::size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string_view::npos) return words;
    std::size_t end = std::min(line.find_first_of(" \t\r", begin), line.size());
    words.push_back(line.substr(begin, end - begin));
    line.remove_prefix(end);
  }
}

template <typename Each>
void each_line(std::string_view text, Each&& each) {
  while (!text.empty()) {
    std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.empty() && line.front() != '#') each(line);
  }
}

std::string read_if_there(const std::filesystem::path& path) {
  std::error_code failed;
  if (!std::filesystem::exists(path, failed)) return "";
  return os::read_text(path, kLargestIndex);
}

std::filesystem::path module_directory() {
  utsname names{};
  ::uname(&names);
  return std::filesystem::path("/lib/modules") / names.release;
}

void insert(const std::filesystem::path& path) {
  os::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) throw os::system_error(errno, "open", path.string());
  if (::syscall(SYS_finit_module, file.get(), "", 0) != 0 && errno != EEXIST)
    throw os::system_error(errno, "load the module", path.filename().string());
}

}  // namespace

std::string module_name(std::string_view path_or_name) {
  if (std::size_t slash = path_or_name.rfind('/'); slash != std::string_view::npos)
    path_or_name.remove_prefix(slash + 1);
  if (path_or_name.ends_with(".ko")) path_or_name.remove_suffix(3);
  std::string name(path_or_name);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

ModuleIndex ModuleIndex::parse(std::string_view dependencies, std::string_view aliases,
                               std::string_view soft_dependencies, std::string_view builtin) {
  ModuleIndex index;
  each_line(dependencies, [&](std::string_view line) {
    std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return;
    Module module{.path = std::string(line.substr(0, colon))};
    for (std::string_view word : words_of(line.substr(colon + 1)))
      module.dependencies.push_back(module_name(word));
    index.modules_[module_name(module.path)] = std::move(module);
  });
  each_line(aliases, [&](std::string_view line) {
    auto words = words_of(line);
    if (words.size() == 3 && words[0] == "alias")
      index.aliases_.emplace_back(std::string(words[1]), module_name(words[2]));
  });
  each_line(soft_dependencies, [&](std::string_view line) {
    auto words = words_of(line);
    if (words.size() < 4 || words[0] != "softdep") return;
    std::string name = module_name(words[1]);
    std::vector<std::string>* list = nullptr;
    for (std::size_t at = 2; at < words.size(); ++at) {
      if (words[at] == "pre:")
        list = &index.before_[name];
      else if (words[at] == "post:")
        list = &index.after_[name];
      else if (list != nullptr)
        list->push_back(module_name(words[at]));
    }
  });
  each_line(builtin, [&](std::string_view line) { index.builtin_.push_back(module_name(line)); });
  std::sort(index.builtin_.begin(), index.builtin_.end());
  return index;
}

ModuleIndex ModuleIndex::read(const std::filesystem::path& directory) {
  return parse(os::read_text(directory / "modules.dep", kLargestIndex),
               read_if_there(directory / "modules.alias"), read_if_there(directory / "modules.softdep"),
               read_if_there(directory / "modules.builtin"));
}

void ModuleIndex::add(const std::string& name, std::vector<std::string>& paths,
                      std::vector<std::string>& on_the_way) const {
  auto found = modules_.find(name);
  if (found == modules_.end()) return;  // built in, or a soft dependency that the image does not hold
  const Module& module = found->second;
  if (std::find(paths.begin(), paths.end(), module.path) != paths.end()) return;
  // Soft dependencies may run in a circle.
  if (std::find(on_the_way.begin(), on_the_way.end(), name) != on_the_way.end()) return;
  on_the_way.push_back(name);
  if (auto before = before_.find(name); before != before_.end())
    for (const std::string& other : before->second) add(other, paths, on_the_way);
  // The last one named depends on none of the others.
  for (auto other = module.dependencies.rbegin(); other != module.dependencies.rend(); ++other)
    add(*other, paths, on_the_way);
  paths.push_back(module.path);
  if (auto after = after_.find(name); after != after_.end())
    for (const std::string& other : after->second) add(other, paths, on_the_way);
}

ModuleIndex::Plan ModuleIndex::plan(std::string_view name) const {
  Plan plan;
  std::vector<std::string> on_the_way;
  std::string wanted = module_name(name);
  if (modules_.count(wanted) != 0) {
    plan.known = true;
    add(wanted, plan.paths, on_the_way);
    return plan;
  }
  if (std::binary_search(builtin_.begin(), builtin_.end(), wanted)) {
    plan.known = true;
    return plan;
  }
  // '-' and '_' mean the same here too, in the pattern as in the name.
  for (const auto& [pattern, module] : aliases_) {
    if (::fnmatch(pattern.c_str(), std::string(name).c_str(), 0) != 0 &&
        ::fnmatch(module_name(pattern).c_str(), wanted.c_str(), 0) != 0)
      continue;
    plan.known = true;
    add(module, plan.paths, on_the_way);
  }
  return plan;
}

void load_module(std::string_view name) {
  std::filesystem::path directory = module_directory();
  static const ModuleIndex index = ModuleIndex::read(directory);
  ModuleIndex::Plan plan = index.plan(name);
  if (!plan.known)
    throw os::Error(os::ErrorKind::kInvalid, std::string(name), "the appliance has no driver of that name");
  for (const std::string& path : plan.paths) insert(directory / path);
}

int modprobe(int count, char** arguments) {
  if (count < 2) return 1;
  std::string_view name = arguments[count - 1];
  try {
    if (needs_raid6(name) && without_raid6()) return 1;
    load_module(name);
    return 0;
  } catch (const os::Error&) {
    return 1;  // the kernel asks for much that does not exist; who wanted it will say so
  }
}

bool without_raid6() {
  os::UniqueFd file(::open("/proc/cmdline", O_RDONLY | O_CLOEXEC));
  char text[4096];
  ssize_t size = file ? ::read(file.get(), text, sizeof text) : -1;
  return size > 0 &&
         std::string_view(text, static_cast<std::size_t>(size)).find(kWithoutRaid6) != std::string_view::npos;
}

bool needs_raid6(std::string_view name) {
  std::string module = module_name(name);
  return module == "raid456" || module == "raid6_pq" || module == "dm_raid" || module == "async_pq" ||
         module == "md_level_4" || module == "md_level_5" || module == "md_level_6" || module == "md_raid4" ||
         module == "md_raid5" || module == "md_raid6" || module == "raid4" || module == "raid5" ||
         module == "raid6";
}

}  // namespace hyper2kvm::appliance::agent
