#include "runner/guest/initramfs/module_tree.h"

#include <algorithm>

#include "runner/guest/initramfs/compression.h"
#include "runner/guest/initramfs/initramfs.h"
#include "runner/guest/system/text.h"
#include "runner/os/error.h"

namespace hyper2kvm::guest {
namespace {

constexpr std::size_t kIndexLimit = std::size_t{32} << 20;
constexpr std::size_t kModuleLimit = std::size_t{64} << 20;

std::string modules_directory(const GuestRoot& root) {
  return root.is_directory("/lib/modules") ? "/lib/modules" : "/usr/lib/modules";
}

}  // namespace

std::vector<std::string> module_versions(const GuestRoot& root) {
  std::vector<std::string> versions;
  std::string top = modules_directory(root);
  for (const std::string& name : root.list(top))
    if (root.is_file(top + "/" + name + "/modules.dep")) versions.push_back(name);
  return versions;
}

std::optional<ModuleTree> ModuleTree::load(const GuestRoot& root, const std::string& version) {
  if (version.empty() || version.find('/') != std::string::npos || version.starts_with('.'))
    return std::nullopt;
  ModuleTree tree;
  tree.version_ = version;
  tree.directory_ = modules_directory(root) + "/" + version;
  std::optional<std::string> text = root.read(tree.directory_ + "/modules.dep", kIndexLimit);
  if (!text) return std::nullopt;
  // Older tools wrote the whole path.
  std::string prefix = "/lib/modules/" + version + "/";
  tree.dependencies_ = parse_dependencies(*text);
  for (auto& [name, module] : tree.dependencies_) {
    if (module.path.starts_with(prefix)) module.path.erase(0, prefix.size());
    for (std::string& need : module.needs)
      if (need.starts_with(prefix)) need.erase(0, prefix.size());
  }
  std::string builtin = tree.read_index(root, "modules.builtin");
  for (std::string_view line : lines_of(builtin))
    if (std::string name = module_name(trim(line)); !name.empty()) tree.builtin_.insert(std::move(name));
  return tree;
}

std::optional<std::vector<std::string>> ModuleTree::closure(std::string_view name) const {
  std::vector<std::string> order;
  if (is_builtin(name)) return order;
  auto found = dependencies_.find(name);
  if (found == dependencies_.end()) return std::nullopt;
  // A line of modules.dep names everything that is needed, at any depth, the nearest first.
  const std::vector<std::string>& needs = found->second.needs;
  for (auto need = needs.rbegin(); need != needs.rend(); ++need) {
    std::string needed = module_name(*need);
    if (is_builtin(needed)) continue;
    if (dependencies_.find(needed) == dependencies_.end()) return std::nullopt;
    if (std::find(order.begin(), order.end(), needed) == order.end()) order.push_back(std::move(needed));
  }
  order.emplace_back(name);
  return order;
}

std::string ModuleTree::read_module(const GuestRoot& root, std::string_view name) const {
  auto found = dependencies_.find(name);
  if (found == dependencies_.end())
    throw os::Error(os::ErrorKind::kInternal, std::string(name), "is no module of kernel " + version_);
  std::string path = directory_ + "/" + found->second.path;
  std::optional<std::string> packed = root.read(path, kModuleLimit);
  if (!packed)
    throw os::Error(os::ErrorKind::kInvalid, path + " in the guest", "is missing, but modules.dep lists it",
                    "Install the kernel's package again in the source machine and export it again.");
  std::string bytes = decompress(detect_compression(*packed), *packed, kModuleLimit, path + " in the guest");
  if (!bytes.starts_with("\x7f"
                         "ELF"))
    throw os::Error(os::ErrorKind::kInvalid, path + " in the guest", "is no kernel module",
                    "Install the kernel's package again in the source machine and export it again.");
  return bytes;
}

std::string ModuleTree::read_index(const GuestRoot& root, std::string_view name) const {
  return root.read(directory_ + "/" + std::string(name), kIndexLimit).value_or("");
}

}  // namespace hyper2kvm::guest
