#include "runner/pipeline/publication.h"

#include <string>

#include "runner/image/conversion.h"
#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::pipeline {

void Publication::publish(const std::filesystem::path& finished, const std::filesystem::path& final_name) {
  Entry entry{final_name, {}};
  std::error_code code;
  if (std::filesystem::is_directory(final_name, code))
    throw os::Error(os::ErrorKind::kInvalid, final_name.string(),
                    "is a directory, and a disk must be published under that name",
                    "Move it away or choose another output directory.");
  if (std::filesystem::exists(std::filesystem::symlink_status(final_name, code))) {
    entry.replaced = finished.parent_path() / ("replaced-" + std::to_string(entries_.size()));
    os::rename_durably(final_name, entry.replaced);
  }
  try {
    os::rename_durably(finished, final_name);
  } catch (...) {
    if (!entry.replaced.empty()) std::filesystem::rename(entry.replaced, final_name, code);
    throw;
  }
  entries_.push_back(std::move(entry));
}

Publication::~Publication() {
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    std::error_code ignored;
    if (entry->replaced.empty())
      std::filesystem::remove(entry->final_name, ignored);
    else
      std::filesystem::rename(entry->replaced, entry->final_name, ignored);
  }
}

void FinishedDevices::add(const std::filesystem::path& device) {
  std::lock_guard lock(mutex_);
  devices_.push_back(device);
}

FinishedDevices::~FinishedDevices() {
  for (const std::filesystem::path& device : devices_) try {
      image::erase_head(device);
    } catch (const os::Error&) {
      // The job has failed and says why; a device that cannot be written any more is the likely reason.
    }
}

}  // namespace hyper2kvm::pipeline
