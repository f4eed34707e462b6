// The drivers that the root image holds, and the order in which they are loaded.
//
// Reads the three text files that depmod made for them: modules.dep ("path: dependency..."), modules.alias
// ("alias PATTERN module") and modules.softdep ("softdep module pre: a b post: c"), besides modules.builtin.
// Source: depmod.d(5), modules.dep(5). Parsing is pure; load_module is what touches the kernel.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hyper2kvm::appliance::agent {

class ModuleIndex {
 public:
  // The texts of the four files; each may be empty.
  static ModuleIndex parse(std::string_view dependencies, std::string_view aliases,
                           std::string_view soft_dependencies, std::string_view builtin);
  // Throws os::Error where modules.dep cannot be read.
  static ModuleIndex read(const std::filesystem::path& directory);

  struct Plan {
    bool known = false;              // a module here, or built in
    std::vector<std::string> paths;  // relative to the directory, in the order of loading; empty: built in
  };
  // name: of a module ("dm-mod" and "dm_mod" are the same) or an alias as the kernel asks for one
  // ("fs-vfat", "crypto-xts").
  Plan plan(std::string_view name) const;

 private:
  void add(const std::string& module, std::vector<std::string>& paths,
           std::vector<std::string>& on_the_way) const;

  struct Module {
    std::string path;
    std::vector<std::string> dependencies;  // names
  };
  std::map<std::string, Module, std::less<>> modules_;  // by name, with '_' for '-'
  std::vector<std::pair<std::string, std::string>> aliases_;
  std::map<std::string, std::vector<std::string>, std::less<>> before_;  // soft dependencies
  std::map<std::string, std::vector<std::string>, std::less<>> after_;
  std::vector<std::string> builtin_;
};

// "kernel/drivers/md/dm-mod.ko" and "dm-mod" are dm_mod.
std::string module_name(std::string_view path_or_name);

// Loads a module of the running kernel's directory, and what it needs. Throws os::Error where there is none
// of that name or the kernel refuses it.
void load_module(std::string_view name);

// What the kernel runs as /sbin/modprobe when it misses something: the last argument is the name. Returns the
// exit status.
int modprobe(int count, char** arguments);

// True where the kernel was told to leave its RAID 6 functions alone.
bool without_raid6();
// True for the modules that need them.
bool needs_raid6(std::string_view name);

}  // namespace hyper2kvm::appliance::agent
