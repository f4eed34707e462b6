// Where jobs live: WATCH_DIR/.hyper2kvm, on the queue's own file system, so that a claim is a rename.
//
//   .hyper2kvm/lock                one daemon a queue
//   .hyper2kvm/paused              present while the queue is paused
//   .hyper2kvm/statistics.json
//   .hyper2kvm/refused/            files that are no manifest, each with a .reason beside it
//   .hyper2kvm/jobs/ID/manifest    as it was submitted, byte for byte
//   .hyper2kvm/jobs/ID/job.json    its state; a directory without one is a claim that never happened
//   .hyper2kvm/jobs/ID/submitted   the queue's file on its way out, until the two above are durable
//   .hyper2kvm/jobs/ID/manifest.json   what the engine is given
//
// Nothing that matters is only in memory: load() after a kill at any instruction, or a power cut, gives every
// job that was ever claimed, once, or its file is in the queue. Not thread-safe. Throws os::Error.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runner/daemon/job.h"
#include "runner/os/file.h"

namespace hyper2kvm::daemon {

class Journal {
 public:
  // Makes the directories and takes the lock; refuses a queue that another daemon holds.
  explicit Journal(const std::filesystem::path& watch_dir);

  const std::filesystem::path& watch_dir() const { return watch_dir_; }
  std::filesystem::path directory(const std::string& id) const { return root_ / "jobs" / id; }
  std::filesystem::path submitted_manifest(const std::string& id) const { return directory(id) / "manifest"; }
  std::filesystem::path state_file(const std::string& id) const { return directory(id) / "job.json"; }
  std::filesystem::path taken_file(const std::string& id) const { return directory(id) / "submitted"; }
  std::filesystem::path engine_manifest(const std::string& id) const {
    return directory(id) / "manifest.json";
  }
  std::filesystem::path statistics_file() const { return root_ / "statistics.json"; }

  // All jobs by id. Directories of claims that never happened, or never reached the disk, are removed, and
  // their files put back into the queue; a job whose state cannot be read otherwise is left where it is and
  // named in problems.
  std::map<std::string, Job> load(std::vector<std::string>& problems);
  // A new directory and a new id in it; nothing is claimed yet.
  std::string make_directory();
  // Makes the job's state durable.
  void store(const Job& job);
  // Writes the state of a new job in one step, without waiting for the disk.
  void place(const Job& job);
  // Removes a job and all that is in its directory.
  void remove(const std::string& id);

  // Moves a file of the queue (by name) aside and writes the reason beside it. Returns where it is now.
  std::filesystem::path refuse(const std::string& file_name, const std::string& reason);
  // Removes refused files older than this. Returns how many.
  unsigned remove_refused_before(std::int64_t seconds_since_epoch);
  unsigned refused() const;

  bool paused() const;
  void set_paused(bool paused);

 private:
  // A claim that a power cut undid: its job's directory goes, and the file that was taken goes back.
  bool was_undone(const std::string& id, const Job& job) const;
  void undo(const std::string& id);

  std::filesystem::path watch_dir_;
  std::filesystem::path root_;
  os::UniqueFd lock_;
  unsigned salt_ = 0;
};

// What is in a file of the queue, or nullopt where the path is gone or is no regular file.
std::optional<FileIdentity> identity_of(const std::filesystem::path& path);
FileIdentity identity_of_descriptor(int fd);

}  // namespace hyper2kvm::daemon
