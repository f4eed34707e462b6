// The indexes that modprobe reads beside a tree of modules (modules.dep, modules.alias and their .bin forms),
// for a tree that is a part of a larger one.
//
// depmod would compute them from the modules themselves, which would mean unpacking all of them. The large
// tree's own text indexes say the same; this picks the lines of the modules that are there. The binary form
// is kmod's: a radix tree with big-endian offsets. Source: kmod's documentation of the index format
// (libkmod-index.c, "INDEX FILE FORMAT"), and depmod(8), modprobe(8) for the text.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace hyper2kvm::guest {

struct IndexEntry {
  std::string key, value;
  std::uint32_t priority = 0;  // entries of equal key are found in this order
};

// The binary form of an index. Keys longer than 4096 bytes or with characters beyond ASCII are left out, as
// kmod cannot hold them.
std::string binary_index(std::vector<IndexEntry> entries);

// A line of modules.dep: the module's path and those that it needs, all below the module directory.
struct ModuleDependencies {
  std::string path;
  std::vector<std::string> needs;
};

// Of one kernel: name to line.
using DependencyMap = std::map<std::string, ModuleDependencies, std::less<>>;
DependencyMap parse_dependencies(std::string_view modules_dep);

// What modprobe needs to know about the modules that present lists (name to path below the module directory):
// file name to content, for modules.dep, modules.dep.bin, modules.alias, modules.alias.bin and
// modules.softdep.
std::map<std::string, std::string> make_indexes(const std::map<std::string, std::string>& present,
                                                const DependencyMap& dependencies,
                                                std::string_view modules_alias,
                                                std::string_view modules_softdep);

}  // namespace hyper2kvm::guest
