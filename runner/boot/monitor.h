// Lines of JSON to and from a program that has a hostile guest inside: QEMU's monitor (QMP) and the guest
// agent. Source: QEMU 7.2, docs/interop/qmp-spec.txt and qemu-ga's qapi/schema.json.
//
// Nothing here waits: what cannot be read or written at once is left for the next turn. Lines are bounded;
// what is no JSON object is dropped. Not thread-safe.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "runner/os/file.h"

namespace hyper2kvm::boot {

class JsonLine {
 public:
  static constexpr std::size_t kLongestLine = 1u << 20;
  static constexpr int kDeepest = 32;

  // Two ends of a new stream, close-on-exec; ours does not block. Throws os::Error.
  struct Ends {
    os::UniqueFd ours;
    os::UniqueFd theirs;
  };
  static Ends make_ends();

  explicit JsonLine(os::UniqueFd fd) : fd_(std::move(fd)) {}
  int fd() const { return fd_.get(); }
  // Dropped where more than a line's length is waiting already: nobody listens.
  void send(const nlohmann::json& message);
  // The objects that have arrived. False once the other end is closed.
  bool receive(std::vector<nlohmann::json>& messages);

 private:
  void flush();
  void take_line(std::string_view line, std::vector<nlohmann::json>& messages);
  os::UniqueFd fd_;
  std::string to_send_;
  std::string received_;
  bool skips_ = false;  // the rest of a line that was too long
};

}  // namespace hyper2kvm::boot
