// The private directory in which the machine inside has its memory file.
//
// It is held by a lock (flock on the directory itself) that ends with its owner, whatever ends that: so who
// makes one can tell those whose owner was killed, in any PID namespace, and removes them. A directory that
// is made at the same moment may be taken for such a one before it is locked; its owner looks again once it
// has the lock, and makes another. Where the file system knows no locks nothing is ever removed but one's
// own.
#pragma once

#include <filesystem>
#include <optional>

#include "runner/os/file.h"

namespace hyper2kvm::appliance {

class MemoryDirectory {
 public:
  // Makes it in parent, after removing what others of this user left behind there. Throws os::Error.
  explicit MemoryDirectory(const std::filesystem::path& parent);
  const std::filesystem::path& path() const { return directory_->path(); }

 private:
  // Released last: the directory is still locked while it is removed.
  os::UniqueFd lock_;
  std::optional<os::TemporaryDirectory> directory_;
};

}  // namespace hyper2kvm::appliance
