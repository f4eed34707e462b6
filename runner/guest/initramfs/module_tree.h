// The modules of one kernel as the guest's root has them: /lib/modules/VERSION. Throws os::Error.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "runner/guest/guest_root.h"
#include "runner/guest/initramfs/module_index.h"

namespace hyper2kvm::guest {

class ModuleTree {
 public:
  // nullopt where the guest has no modules of that version.
  static std::optional<ModuleTree> load(const GuestRoot& root, const std::string& version);

  const std::string& version() const { return version_; }
  const std::string& directory() const { return directory_; }  // in the guest
  const DependencyMap& dependencies() const { return dependencies_; }
  bool is_builtin(std::string_view name) const { return builtin_.contains(std::string(name)); }
  bool has(std::string_view name) const { return dependencies_.find(name) != dependencies_.end(); }
  // The module and all that it needs, by name, those first that others need; built-in ones are left out.
  // nullopt where the module or one that it needs is not there.
  std::optional<std::vector<std::string>> closure(std::string_view name) const;
  // The module's bytes, unpacked; at most 64 MiB.
  std::string read_module(const GuestRoot& root, std::string_view name) const;
  // A file of the module directory ("modules.alias"); "" where it is not there.
  std::string read_index(const GuestRoot& root, std::string_view name) const;

 private:
  std::string version_, directory_;
  DependencyMap dependencies_;
  std::set<std::string, std::less<>> builtin_;
};

// Versions that the guest has a module directory with modules for, sorted.
std::vector<std::string> module_versions(const GuestRoot& root);

}  // namespace hyper2kvm::guest
