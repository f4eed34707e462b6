// Notices files in the queue: at once by inotify, and by looking again now and then for file systems that do
// not notify (NFS, FUSE) and for events that were lost.
//
// Keeps what is known of the writer of each file that is not taken yet. Not thread-safe. Throws os::Error.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "runner/daemon/submission.h"
#include "runner/os/file.h"

namespace hyper2kvm::daemon {

class QueueWatch {
 public:
  using Clock = std::chrono::steady_clock;
  explicit QueueWatch(const std::filesystem::path& directory);

  // To poll for reading; -1 where inotify cannot be had (then scan() is all).
  int descriptor() const { return inotify_.get(); }
  // Why inotify cannot be had; empty where it can.
  const std::string& trouble() const { return trouble_; }

  // Takes the waiting events; returns the names they are about, the newest writer's last.
  std::vector<std::string> take_events();
  // Looks at the whole directory; returns every manifest name that is due to be looked at, oldest first.
  std::vector<std::string> scan();

  Writer writer(const std::string& name) const;
  // The file is gone, or was taken.
  void forget(const std::string& name) { known_.erase(name); }

 private:
  struct Known {
    bool writing = false;
    bool closed = false;
    Clock::time_point changed;
    FileIdentity file;  // as the last scan saw it
  };
  Known& known(const std::string& name);

  std::filesystem::path directory_;
  os::UniqueFd inotify_;
  std::string trouble_;
  std::map<std::string, Known> known_;
};

}  // namespace hyper2kvm::daemon
