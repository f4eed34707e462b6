// A block device for tests: a loop device over a file, where we may have one.
#pragma once

#include <filesystem>
#include <string>

#include "runner/os/error.h"
#include "runner/os/process.h"

namespace hyper2kvm::testing {

class LoopDevice {
 public:
  explicit LoopDevice(const std::filesystem::path& file) {
    os::ProcessOptions process;
    process.arguments = {"losetup", "--find", "--show", file.string()};
    try {
      std::string said = os::run_program(process);
      path_ = said.substr(0, said.find('\n'));
    } catch (const os::Error&) {
      // Not root, or no loop devices here.
    }
  }
  ~LoopDevice() {
    if (path_.empty()) return;
    os::ProcessOptions process;
    process.arguments = {"losetup", "--detach", path_.string()};
    try {
      os::run_program(process);
    } catch (const os::Error&) {
      // Then it stays until the machine is gone.
    }
  }
  LoopDevice(const LoopDevice&) = delete;
  LoopDevice& operator=(const LoopDevice&) = delete;
  // Empty where there are no loop devices.
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace hyper2kvm::testing
