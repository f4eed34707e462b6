// Makes claimed jobs durable, in a thread of its own: the daemon goes on taking manifests while a disk that
// others keep busy lets an fsync wait.
//
// What comes while it waits is made durable together: the writing of all of it is begun first, so that one
// commit of the file system's journal serves many. After each turn it rests for twice as long as that took,
// because a commit holds up whoever changes a directory on that file system, and the daemon is the first of
// them. In the order of add(). add() and take_outcomes() are for one thread, the daemon's; nothing is thrown
// there but os::Error at construction.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "runner/daemon/journal.h"
#include "runner/os/file.h"

namespace hyper2kvm::daemon {

class ClaimSync {
 public:
  struct Outcome {
    std::string job;
    std::string error;  // empty: the job and its manifest are on the disk
  };
  // The journal outlives this.
  explicit ClaimSync(const Journal& journal);
  ~ClaimSync();  // ends the thread; what is not durable then is made so after the next start

  void add(const std::string& job);
  // To poll for reading: an outcome is there.
  int descriptor() const { return wake_.read_end.get(); }
  std::vector<Outcome> take_outcomes();

 private:
  void work();
  std::vector<Outcome> sync(const std::vector<std::string>& jobs) const;

  const Journal& journal_;
  os::Pipe wake_;
  std::mutex mutex_;  // guards the four below
  std::condition_variable changed_;
  std::vector<std::string> waiting_;
  std::vector<Outcome> outcomes_;
  bool ending_ = false;
  std::thread thread_;
};

// The same for one job, here and now. Throws os::Error.
void make_claim_durable(const Journal& journal, const std::string& job);

}  // namespace hyper2kvm::daemon
