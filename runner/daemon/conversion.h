// One attempt of a job: `hyper2kvm convert` as a child process, and what its event lines say.
//
// The child is a process group with its own limits that dies with the daemon. It must be started by the
// thread that lives as long as the daemon (os::Process ties a child to the thread that starts it). Nothing
// here blocks: the daemon's loop calls take_output() when a descriptor is readable. What the child prints is
// untrusted. Not thread-safe. Throws os::Error.
#pragma once

#include <chrono>
#include <deque>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runner/contract/events.h"
#include "runner/os/process.h"

namespace hyper2kvm::daemon {

struct ConversionCommand {
  std::filesystem::path program;  // hyper2kvm itself
  std::filesystem::path manifest;
  std::filesystem::path temp_dir;
  std::filesystem::path key_dir;  // empty: none
};

struct Progress {
  std::string stage;
  std::uint64_t done_bytes = 0;
  std::uint64_t total_bytes = 0;
  double bytes_per_second = 0;
  std::optional<double> seconds_left;
  double percent() const {
    return total_bytes == 0 ? 0 : 100.0 * static_cast<double>(done_bytes) / static_cast<double>(total_bytes);
  }
};

class Conversion {
 public:
  explicit Conversion(const ConversionCommand& command);

  // To poll for reading; -1 once the child has closed it.
  int output() const { return events_.get(); }
  int errors() const { return errors_.get(); }

  // Reads what is there and returns the events in it.
  std::vector<contract::Event> take_output();
  // True once it has ended and all that it printed was taken.
  bool ended();
  const os::ExitStatus& status() const { return *status_; }

  // Of the stage that reported last.
  const Progress& progress() const { return progress_; }
  // Past the point where stopping it would save anything: it publishes or registers.
  bool is_finishing() const { return progress_.stage == "publish" || progress_.stage == "register"; }
  // The result event, where one came.
  const std::optional<contract::Event>& result() const { return result_; }
  // The last line that it wrote to stderr.
  std::string last_words() const;

  void ask_to_stop();  // SIGTERM
  void kill();
  pid_t pid() const { return process_.pid(); }
  std::optional<std::chrono::steady_clock::time_point> asked_at() const { return asked_; }

 private:
  struct Channels;
  Conversion(Channels channels, const ConversionCommand& command);
  void read_into(os::UniqueFd& fd, std::string& text);

  os::UniqueFd events_;
  os::UniqueFd errors_;
  os::Process process_;
  std::string partial_line_;
  bool line_too_long_ = false;
  std::string error_text_;
  std::optional<os::ExitStatus> status_;
  std::optional<contract::Event> result_;
  Progress progress_;
  std::optional<std::chrono::steady_clock::time_point> asked_;
};

}  // namespace hyper2kvm::daemon
