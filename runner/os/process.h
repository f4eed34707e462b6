// Other programs: started without a shell, with exactly the descriptors they are given, and never left
// behind.
//
// A Process owns its child: destroying it kills the child's whole process group and reaps it, and when the
// child ends by itself the rest of its group is killed too. It leaves no core file. The child dies with us
// (PR_SET_PDEATHSIG), starts with default signal handling and an empty mask, and inherits no descriptor that
// is not named. All functions throw os::Error.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runner/os/confinement.h"
#include "runner/os/file.h"
#include "runner/os/stop.h"

namespace hyper2kvm::os {

struct ProcessOptions {
  // arguments[0] is the program: a path, or a name that is looked up in $PATH.
  std::vector<std::string> arguments;
  // Pairs of (our descriptor, its number in the child). 0, 1 and 2 default to /dev/null, /dev/null and, with
  // capture_stderr, a pipe that the Process drains (else our own stderr).
  std::vector<std::pair<int, int>> descriptors;
  bool capture_stderr = true;
  // Added to our environment; an existing name is replaced.
  std::vector<std::pair<std::string, std::string>> environment;
  // True: the child gets only `environment`.
  bool clear_environment = false;
  std::filesystem::path working_directory;
  // RLIMIT_AS in bytes, RLIMIT_CPU in seconds, RLIMIT_FSIZE in bytes; 0 leaves ours.
  std::uint64_t limit_address_space = 0;
  std::uint64_t limit_cpu_seconds = 0;
  std::uint64_t limit_file_size = 0;
  // prctl(PR_SET_NO_NEW_PRIVS) in the child.
  bool no_new_privileges = true;
  // The child dies with us, what it started need not: then a second, tiny process of ours kills the whole
  // group when we are killed ourselves.
  bool guard_group = false;
  // Not owned; needs no_new_privileges. nullptr: the child may do all that its user may.
  const Confinement* confinement = nullptr;
};

struct ExitStatus {
  bool signalled = false;
  int code = 0;  // exit status, or the signal's number
  bool success() const { return !signalled && code == 0; }
  // "exited with status 3", "was killed by signal 9 (Killed)"
  std::string description() const;
};

class Process {
 public:
  static Process start(const ProcessOptions& options);
  Process(Process&& other) noexcept;
  Process& operator=(Process&&) = delete;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  pid_t pid() const { return pid_; }
  const std::string& program() const { return program_; }
  // Waits until it ends or the time is over (nullopt). Drains captured stderr meanwhile. May be called again
  // after it ended.
  std::optional<ExitStatus> wait_for(std::chrono::milliseconds time);
  // Waits until it ends. A stop request or the time limit (zero: none) kills it and throws (kCancelled, or
  // kSystem "took longer than ... and was ended").
  ExitStatus wait(const StopToken& stop = {},
                  std::chrono::milliseconds limit = std::chrono::milliseconds::zero());
  // To the child's process group.
  void signal(int number) noexcept;
  // SIGKILL to the group, then reaps.
  void kill() noexcept;
  // The last 64 KiB of what it wrote to a captured stderr so far.
  const std::string& stderr_tail();

 private:
  Process() = default;
  void drain_stderr(int timeout_milliseconds);
  void start_guard();
  void reap_guard() noexcept;
  std::string program_;
  pid_t pid_ = -1;
  UniqueFd pidfd_;
  pid_t guard_ = -1;
  UniqueFd lifeline_;  // closed by our end, which the guard waits for
  UniqueFd stderr_;
  std::string stderr_text_;
  std::optional<ExitStatus> status_;
};

// Runs a program to its end; its stdout is returned (refused beyond output_limit bytes). Throws
// Error(kSystem) with the last line of its stderr when it does not exit with status 0.
std::string run_program(ProcessOptions options, const StopToken& stop = {},
                        std::chrono::milliseconds limit = std::chrono::minutes(5),
                        std::size_t output_limit = 16u << 20);

// The path of a program in $PATH or in the system's sbin directories; empty when there is none.
std::filesystem::path find_program(std::string_view name);

}  // namespace hyper2kvm::os
