#include "runner/os/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>

#include "runner/os/error.h"

extern char** environ;

namespace hyper2kvm::os {
namespace {

constexpr std::size_t kStderrKept = 64 * 1024;
constexpr auto kTick = std::chrono::milliseconds(50);

// What the child needs between fork and exec. Prepared before the fork: after it only async-signal-safe calls
// are allowed, because other threads of ours may have held any lock.
struct Launch {
  std::string program;
  std::vector<char*> arguments;
  std::vector<std::string> environment_text;
  std::vector<char*> environment;
  std::vector<std::pair<int, int>> descriptors;
  std::string working_directory;
  std::vector<std::pair<int, rlimit>> limits;
  bool no_new_privileges = true;
  const Confinement* confinement = nullptr;
  int error_pipe = -1;
  pid_t parent = 0;
};

std::vector<std::string> make_environment(const ProcessOptions& options) {
  std::map<std::string, std::string> values;
  if (!options.clear_environment) {
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
      std::string text = *entry;
      auto equals = text.find('=');
      if (equals != std::string::npos) values[text.substr(0, equals)] = text.substr(equals + 1);
    }
  }
  for (const auto& [name, value] : options.environment) values[name] = value;
  std::vector<std::string> result;
  for (const auto& [name, value] : values) result.push_back(name + "=" + value);
  return result;
}

[[noreturn]] void fail_child(const Launch& launch) {
  int error = errno;
  [[maybe_unused]] ssize_t ignored = ::write(launch.error_pipe, &error, sizeof error);
  ::_exit(127);
}

[[noreturn]] void run_child(Launch& launch) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != launch.parent) ::_exit(127);
  if (launch.no_new_privileges) ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  // Here, because the ruleset's descriptor is among those that are closed below; what follows opens no file.
  if (launch.confinement != nullptr && (errno = launch.confinement->confine_files()) != 0) fail_child(launch);
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // First out of the way of every target number, then into place, so that no descriptor is overwritten before
  // it is copied.
  int above = launch.error_pipe;
  for (const auto& [ours, theirs] : launch.descriptors) above = std::max({above, ours, theirs});
  ++above;
  int error_copy = ::fcntl(launch.error_pipe, F_DUPFD_CLOEXEC, above);
  if (error_copy < 0) fail_child(launch);
  launch.error_pipe = error_copy;
  for (auto& [ours, theirs] : launch.descriptors) {
    int copy = ::fcntl(ours, F_DUPFD_CLOEXEC, above);
    if (copy < 0) fail_child(launch);
    ours = copy;
  }
  ::syscall(SYS_close_range, 3u, static_cast<unsigned>(above - 1), 0u);
  for (const auto& [ours, theirs] : launch.descriptors)
    if (::dup2(ours, theirs) < 0) fail_child(launch);
  for (const auto& [resource, limit] : launch.limits)
    if (::setrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) fail_child(launch);
  if (!launch.working_directory.empty() && ::chdir(launch.working_directory.c_str()) != 0) fail_child(launch);
  // Last: it would refuse some of the above.
  if (launch.confinement != nullptr && (errno = Confinement::confine_calls()) != 0) fail_child(launch);
  ::execve(launch.program.c_str(), launch.arguments.data(), launch.environment.data());
  fail_child(launch);
}

std::string last_line(const std::string& text) {
  std::size_t end = text.find_last_not_of(" \r\n\t");
  if (end == std::string::npos) return "";
  std::size_t begin = text.find_last_of('\n', end);
  begin = begin == std::string::npos ? 0 : begin + 1;
  return text.substr(begin, end - begin + 1);
}

}  // namespace

std::string ExitStatus::description() const {
  if (!signalled) return "exited with status " + std::to_string(code);
  return "was killed by signal " + std::to_string(code) + " (" + ::strsignal(code) + ")";
}

Process Process::start(const ProcessOptions& options) {
  if (options.arguments.empty()) throw Error(ErrorKind::kInternal, "", "a program to start was not named");
  Launch launch;
  const std::string& name = options.arguments[0];
  launch.program = name.find('/') == std::string::npos ? find_program(name).string() : name;
  if (launch.program.empty())
    throw Error(ErrorKind::kInvalid, name, "is not installed",
                "Install the package that holds it, or correct $PATH.");
  for (const std::string& argument : options.arguments)
    launch.arguments.push_back(const_cast<char*>(argument.c_str()));
  launch.arguments.push_back(nullptr);
  launch.environment_text = make_environment(options);
  for (std::string& entry : launch.environment_text) launch.environment.push_back(entry.data());
  launch.environment.push_back(nullptr);
  launch.working_directory = options.working_directory.string();
  launch.no_new_privileges = options.no_new_privileges;
  launch.confinement = options.confinement;
  launch.parent = ::getpid();
  auto add_limit = [&](int resource, std::uint64_t value) {
    if (value != 0) launch.limits.emplace_back(resource, rlimit{value, value});
  };
  // A core file could hold a guest's secrets.
  launch.limits.emplace_back(RLIMIT_CORE, rlimit{0, 0});
  add_limit(RLIMIT_AS, options.limit_address_space);
  add_limit(RLIMIT_CPU, options.limit_cpu_seconds);
  add_limit(RLIMIT_FSIZE, options.limit_file_size);

  launch.descriptors = options.descriptors;
  auto is_set = [&](int number) {
    return std::any_of(launch.descriptors.begin(), launch.descriptors.end(),
                       [&](const auto& pair) { return pair.second == number; });
  };
  UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) throw system_error(errno, "open", "/dev/null");
  Process process;
  Pipe stderr_pipe;
  if (!is_set(2)) {
    if (options.capture_stderr) {
      stderr_pipe = make_pipe();
      launch.descriptors.emplace_back(stderr_pipe.write_end.get(), 2);
    } else {
      launch.descriptors.emplace_back(2, 2);
    }
  }
  for (int number : {0, 1})
    if (!is_set(number)) launch.descriptors.emplace_back(null.get(), number);
  Pipe error_pipe = make_pipe();
  launch.error_pipe = error_pipe.write_end.get();

  pid_t pid = ::fork();
  if (pid < 0) throw system_error(errno, "start", name);
  if (pid == 0) run_child(launch);

  process.program_ = name;
  process.pid_ = pid;
  ::setpgid(pid, pid);
  error_pipe.write_end.reset();
  int child_error = 0;
  ssize_t got;
  do got = ::read(error_pipe.read_end.get(), &child_error, sizeof child_error);
  while (got < 0 && errno == EINTR);
  if (got == static_cast<ssize_t>(sizeof child_error)) {
    process.kill();
    throw system_error(child_error, "start", launch.program);
  }
  if (options.guard_group) process.start_guard();
  process.pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process.pidfd_) throw system_error(errno, "watch", name);
  process.stderr_ = std::move(stderr_pipe.read_end);
  if (process.stderr_) ::fcntl(process.stderr_.get(), F_SETFL, O_NONBLOCK);
  return process;
}

// The guard belongs to the group that it guards: it ends with it, and while it lives the group's number
// cannot become another's.
void Process::start_guard() {
  Pipe pipe = make_pipe();
  int lifeline = pipe.read_end.get();
  pid_t group = pid_;
  guard_ = ::fork();
  if (guard_ < 0) {
    int error = errno;
    kill();
    throw system_error(error, "start a guard for", program_);
  }
  if (guard_ == 0) {
    // Only async-signal-safe calls, as in every child of ours.
    ::setpgid(0, group);
    sigset_t all;
    ::sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);
    if (lifeline > 0) ::syscall(SYS_close_range, 0u, static_cast<unsigned>(lifeline - 1), 0u);
    ::syscall(SYS_close_range, static_cast<unsigned>(lifeline + 1), ~0u, 0u);
    char byte;
    while (::read(lifeline, &byte, 1) < 0 && errno == EINTR) {
    }
    ::kill(-group, SIGKILL);
    ::_exit(0);
  }
  ::setpgid(guard_, group);
  lifeline_ = std::move(pipe.write_end);
}

void Process::reap_guard() noexcept {
  if (guard_ <= 0) return;
  ::kill(guard_, SIGKILL);
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(guard_), &info, WEXITED) != 0 && errno == EINTR) {
  }
  guard_ = -1;
  lifeline_.reset();
}

Process::Process(Process&& other) noexcept
    : program_(std::move(other.program_)),
      pid_(std::exchange(other.pid_, -1)),
      pidfd_(std::move(other.pidfd_)),
      guard_(std::exchange(other.guard_, -1)),
      lifeline_(std::move(other.lifeline_)),
      stderr_(std::move(other.stderr_)),
      stderr_text_(std::move(other.stderr_text_)),
      status_(other.status_) {}

Process::~Process() {
  if (pid_ > 0) kill();
}

void Process::drain_stderr(int timeout_milliseconds) {
  pollfd waits[2] = {{pidfd_.get(), POLLIN, 0}, {stderr_.get(), POLLIN, 0}};
  ::poll(waits, 2, timeout_milliseconds);
  if (!stderr_) return;
  char buffer[4096];
  while (true) {
    ssize_t got = ::read(stderr_.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return;
    if (got == 0) {
      stderr_.reset();
      return;
    }
    stderr_text_.append(buffer, static_cast<std::size_t>(got));
    if (stderr_text_.size() > 2 * kStderrKept) stderr_text_.erase(0, stderr_text_.size() - kStderrKept);
  }
}

std::optional<ExitStatus> Process::wait_for(std::chrono::milliseconds time) {
  auto deadline = std::chrono::steady_clock::now() + time;
  while (!status_) {
    siginfo_t info{};
    int result = ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
    if (result == 0 && info.si_pid == pid_) {
      // What it started and left in its group goes with it; while the leader is not reaped the group's number
      // cannot be another's.
      ::kill(-pid_, SIGKILL);
      if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) != 0)
        throw system_error(errno, "wait for", program_);
      reap_guard();
      status_ = ExitStatus{info.si_code != CLD_EXITED, info.si_status};
      drain_stderr(0);
      break;
    }
    if (result != 0 && errno != EINTR) throw system_error(errno, "wait for", program_);
    auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return std::nullopt;
    drain_stderr(static_cast<int>(std::min<std::int64_t>(left.count(), 1000)));
  }
  return status_;
}

ExitStatus Process::wait(const StopToken& stop, std::chrono::milliseconds limit) {
  auto started = std::chrono::steady_clock::now();
  while (true) {
    if (auto status = wait_for(kTick)) return *status;
    if (stop.stop_requested()) {
      kill();
      stop.throw_if_stopped();
    }
    if (limit.count() > 0 && std::chrono::steady_clock::now() - started > limit) {
      kill();
      throw Error(ErrorKind::kSystem, program_,
                  "took longer than " + std::to_string(limit.count() / 1000) + " s and was ended", "",
                  ETIMEDOUT);
    }
  }
}

void Process::signal(int number) noexcept {
  if (pid_ > 0 && !status_) ::kill(-pid_, number);
}

void Process::kill() noexcept {
  if (pid_ <= 0) return;
  // The group may outlive its leader, and its number cannot be taken while the leader is not reaped.
  if (!status_) {
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) != 0 && errno == EINTR) {
    }
    reap_guard();
    status_ = ExitStatus{info.si_code != CLD_EXITED, info.si_status};
  }
}

const std::string& Process::stderr_tail() {
  if (stderr_) drain_stderr(0);
  if (stderr_text_.size() > kStderrKept) stderr_text_.erase(0, stderr_text_.size() - kStderrKept);
  return stderr_text_;
}

std::string run_program(ProcessOptions options, const StopToken& stop, std::chrono::milliseconds limit,
                        std::size_t output_limit) {
  Pipe output = make_pipe();
  options.descriptors.emplace_back(output.write_end.get(), 1);
  Process process = Process::start(options);
  output.write_end.reset();
  ::fcntl(output.read_end.get(), F_SETFL, O_NONBLOCK);
  std::string text;
  auto started = std::chrono::steady_clock::now();
  std::vector<char> buffer(65536);
  bool open = true;
  while (open) {
    pollfd wait{output.read_end.get(), POLLIN, 0};
    ::poll(&wait, 1, static_cast<int>(kTick.count()));
    while (true) {
      ssize_t got = ::read(output.read_end.get(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) break;
      if (got == 0) {
        open = false;
        break;
      }
      text.append(buffer.data(), static_cast<std::size_t>(got));
      if (text.size() > output_limit)
        throw Error(ErrorKind::kInvalid, process.program(),
                    "printed more than " + std::to_string(output_limit) + " bytes");
    }
    process.stderr_tail();  // keeps its pipe from filling up
    stop.throw_if_stopped();
    if (limit.count() > 0 && std::chrono::steady_clock::now() - started > limit)
      throw Error(ErrorKind::kSystem, process.program(),
                  "took longer than " + std::to_string(limit.count() / 1000) + " s and was ended", "",
                  ETIMEDOUT);
  }
  ExitStatus status = process.wait(stop, limit);
  if (!status.success()) {
    std::string reason = last_line(process.stderr_tail());
    throw Error(ErrorKind::kSystem, process.program(),
                status.description() + (reason.empty() ? "" : ": " + reason));
  }
  return text;
}

std::filesystem::path find_program(std::string_view name) {
  const char* from_environment = std::getenv("PATH");
  std::string places = from_environment != nullptr ? from_environment : "";
  places += ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/libexec";
  std::size_t begin = 0;
  while (begin <= places.size()) {
    std::size_t end = std::min(places.find(':', begin), places.size());
    // An empty entry would mean the current directory, which may be the user's download folder: left out.
    if (end > begin) {
      std::filesystem::path candidate = std::filesystem::path(places.substr(begin, end - begin)) / name;
      if (::access(candidate.c_str(), X_OK) == 0 && std::filesystem::is_regular_file(candidate))
        return candidate;
    }
    begin = end + 1;
  }
  return {};
}

}  // namespace hyper2kvm::os
