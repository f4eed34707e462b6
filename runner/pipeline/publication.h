// Publishing: a finished file gets its final name in one step, and can be withdrawn again until the job has
// succeeded.
//
// All disks of a machine are published or none: when a later step fails, the destructor withdraws what was
// published and puts back what stood under that name before. commit() makes it final.
#pragma once

#include <filesystem>
#include <vector>

namespace hyper2kvm::pipeline {

// Not thread-safe.
class Publication {
 public:
  // set_aside: a directory on the same file system for files that are replaced; it must outlive this object.
  explicit Publication(std::filesystem::path set_aside) : set_aside_(std::move(set_aside)) {}
  Publication(const Publication&) = delete;
  Publication& operator=(const Publication&) = delete;
  ~Publication();

  // Renames finished (already synced) to final_name. Throws os::Error.
  void publish(const std::filesystem::path& finished, const std::filesystem::path& final_name);
  void commit() { entries_.clear(); }

 private:
  struct Entry {
    std::filesystem::path final_name;
    std::filesystem::path replaced;  // where the old file is now; empty when there was none
  };
  std::filesystem::path set_aside_;
  std::vector<Entry> entries_;
};

}  // namespace hyper2kvm::pipeline
