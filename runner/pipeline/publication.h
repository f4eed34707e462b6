// Publishing: a finished file gets its final name in one step, and can be withdrawn again until the job has
// succeeded.
//
// All disks of a machine are published or none: when a later step fails, the destructor withdraws what was
// published and puts back what stood under that name before. commit() makes it final.
#pragma once

#include <filesystem>
#include <mutex>
#include <vector>

namespace hyper2kvm::pipeline {

// Not thread-safe.
class Publication {
 public:
  Publication() = default;
  Publication(const Publication&) = delete;
  Publication& operator=(const Publication&) = delete;
  ~Publication();

  // Renames finished (already synced, on the same file system) to final_name. A file that is replaced lies
  // beside where finished was, in a directory that must outlive this object. Throws os::Error.
  void publish(const std::filesystem::path& finished, const std::filesystem::path& final_name);
  void commit() { entries_.clear(); }

 private:
  struct Entry {
    std::filesystem::path final_name;
    std::filesystem::path replaced;  // where the old file is now; empty when there was none
  };
  std::vector<Entry> entries_;
};

// Block devices hold a disk as soon as it is finished. When a later step fails, the destructor makes each
// unusable again: what is on it is neither mounted nor booted. commit() makes them final.
class FinishedDevices {
 public:
  FinishedDevices() = default;
  FinishedDevices(const FinishedDevices&) = delete;
  FinishedDevices& operator=(const FinishedDevices&) = delete;
  ~FinishedDevices();
  // Thread-safe.
  void add(const std::filesystem::path& device);
  void commit() { devices_.clear(); }

 private:
  std::mutex mutex_;
  std::vector<std::filesystem::path> devices_;
};

}  // namespace hyper2kvm::pipeline
