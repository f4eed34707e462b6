// The agent's line to its launcher: the first serial terminal, in raw mode.
//
// Not thread-safe. All functions throw os::Error.
#pragma once

#include <string>
#include <string_view>

#include "runner/os/file.h"

namespace hyper2kvm::appliance::agent {

class Terminal {
 public:
  // Opens it; what the launcher sends before this is not noticed.
  static Terminal open(const char* device = "/dev/ttyS0");
  // Without its '\n'; at most longest bytes.
  std::string read_line(std::size_t longest);
  void write_line(std::string_view line);
  // Waits until all has left the machine.
  void drain();

 private:
  os::UniqueFd fd_;
  std::string buffer_;
};

}  // namespace hyper2kvm::appliance::agent
