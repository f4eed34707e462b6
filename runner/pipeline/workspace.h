// The private directory in which results grow until they are published.
//
// It stands inside the output directory, so that publishing is a rename on one file system, and is locked
// while its owner lives, so that the next job can tell what a killed one left behind and remove it.
#pragma once

#include <filesystem>

#include "runner/os/file.h"

namespace hyper2kvm::pipeline {

// Not thread-safe. Removed with all that is in it when this goes out of scope.
class Workspace {
 public:
  // Creates output_directory where it is missing, removes the workspaces of jobs that died in it, makes one
  // of its own.
  explicit Workspace(const std::filesystem::path& output_directory);
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  ~Workspace();
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  os::UniqueFd lock_;
};

// Removes what killed jobs left in this directory; touches nothing that a living process holds. Never throws.
void remove_abandoned_workspaces(const std::filesystem::path& output_directory) noexcept;

}  // namespace hyper2kvm::pipeline
