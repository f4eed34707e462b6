// Less than its user's rights for a program that reads hostile data: a child that was taken over finds no
// file but those it was given, no network, and no way out of its process group.
//
// Files are held by Landlock (Linux 5.13 and later, without privileges; from 6.12 on signals too), calls by a
// seccomp filter that refuses what such a program never needs: sockets other than unix ones, namespaces,
// mounts, modules, bpf, io_uring, other processes' memory, a session or process group of its own. Where the
// host's kernel has no Landlock the filter alone remains. Source: Documentation/userspace-api/landlock.rst
// and seccomp_filter.rst of Linux.
#pragma once

#include <filesystem>
#include <vector>

#include "runner/os/file.h"

namespace hyper2kvm::os {

// Files, or directories that stand for all below them; what does not exist is left out.
struct ConfinementRules {
  std::vector<std::filesystem::path> read;
  std::vector<std::filesystem::path> execute;  // read too
  std::vector<std::filesystem::path> write;    // read, create and remove too
};

// Where programs of the distribution find their libraries, the loader (to execute), /proc and the harmless
// devices.
ConfinementRules rules_for_a_program(const std::filesystem::path& program);

// Made before the child, used by Process::start (ProcessOptions::confinement); must live until it has
// returned. Immutable, so one may serve several children.
class Confinement {
 public:
  // Throws os::Error (kSystem) where a kernel that has Landlock refuses a rule.
  explicit Confinement(const ConfinementRules& rules);

  bool holds_files() const { return static_cast<bool>(ruleset_); }

  // In the child, in this order. Async-signal-safe; 0 or an errno.
  int confine_files() const noexcept;
  static int confine_calls() noexcept;

 private:
  UniqueFd ruleset_;
};

}  // namespace hyper2kvm::os
