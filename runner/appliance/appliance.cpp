// One run of the appliance:
//
//   sockets ─► storage daemon ┐
//   pipes   ─► kernel ────────┴─► agent: "ready" ─► request ─► progress... ─► answer ─► kernel ends ─► daemon
//   ends
//
// One thread waits for all of it, at most 50 ms at a time, so that a stop, the time limit and the end of
// either process are noticed at once. Whatever happens, both processes are killed with their groups and the
// run's directory is removed when this is left.
#include "runner/appliance/appliance.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <optional>
#include <system_error>

#include "runner/appliance/agent/greeting.h"
#include "runner/appliance/console.h"
#include "runner/appliance/kernel.h"
#include "runner/appliance/line_reader.h"
#include "runner/appliance/memory_directory.h"
#include "runner/appliance/placement.h"
#include "runner/appliance/storage.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/os/process.h"

namespace hyper2kvm::appliance {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kTick{50};
// From the answer to the end of each process. Both only have to flush a few MiB.
constexpr milliseconds kTimeToEnd{60'000};
// For a machine that closed its line without an answer.
constexpr milliseconds kTimeToDie{5'000};
constexpr std::size_t kLongestLine = 64u << 20;
constexpr std::size_t kMostProgressLines = 100'000;
constexpr int kRequestDescriptor = 3;
constexpr int kAnswerDescriptor = 4;
constexpr int kFirstSocket = 10;
constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr std::uint64_t kSmallestMemory = 128 * kMiB;
// The kernel lays its memory out behind its heap, which the host puts up to 1 GiB away: so long is the hole
// in its memory file.
constexpr std::uint64_t kLargestHole = (1024 + 256) * kMiB;
// The daemon's own; each of its exports maps the machine's whole memory file besides.
constexpr std::uint64_t kStorageAddressSpace = 8192 * kMiB;

constexpr const char* kDiskAdvice =
    "A file system of the guest may be damaged: check it in the source machine, export it again, and look at "
    "the "
    "console in the log.";

void make_nonblocking(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

// Reads what is there; false at the end.
template <typename Sink>
bool read_available(int fd, Sink&& sink) {
  char buffer[65536];
  while (true) {
    ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got > 0) {
      sink(std::string_view(buffer, static_cast<std::size_t>(got)));
      if (static_cast<std::size_t>(got) < sizeof buffer) return true;
    } else if (got == 0) {
      return false;
    } else if (errno != EINTR) {
      return errno == EAGAIN;
    }
  }
}

std::string last_line(const std::string& text) {
  std::size_t end = text.find_last_not_of(" \r\n\t");
  if (end == std::string::npos) return "it said nothing";
  std::size_t begin = text.find_last_of('\n', end);
  begin = begin == std::string::npos ? 0 : begin + 1;
  return text.substr(begin, end - begin + 1);
}

class Boot {
 public:
  Boot(const Session& session, const std::filesystem::path& directory, const std::filesystem::path& memory,
       bool with_raid6, Clock::time_point deadline, const os::StopToken& stop)
      : session_(session), deadline_(deadline), stop_(stop) {
    start_storage(directory);
    start_kernel(directory, memory, with_raid6);
  }

  // The agent's answer, or nullopt where it asks for a start with RAID 6.
  std::optional<std::string> converse(std::string request,
                                      const std::function<void(const std::string&)>& progress);

  // Waits until both have ended and all is in the overlays.
  void end();

  const ConsoleLog& console() const { return console_; }

 private:
  void start_storage(const std::filesystem::path& directory);
  void start_kernel(const std::filesystem::path& directory, const std::filesystem::path& memory,
                    bool with_raid6);
  // Waits for something to happen, and takes what the machine sends. Throws when it must end.
  void turn();
  void check_limits() const;
  // Takes what it still says; nullopt when it has not ended in that time.
  std::optional<os::ExitStatus> wait_for_kernel(milliseconds time);
  [[noreturn]] void fail_early();

  const Session& session_;
  Clock::time_point deadline_;
  const os::StopToken& stop_;
  std::optional<os::Process> storage_;
  std::optional<os::Process> kernel_;
  std::optional<Placement> placement_;
  os::UniqueFd request_pipe_;
  os::UniqueFd answer_pipe_;
  os::UniqueFd console_pipe_;
  std::string to_send_;
  std::size_t sent_ = 0;
  LineReader lines_{kLongestLine};
  ConsoleLog console_;
};

void Boot::start_storage(const std::filesystem::path& directory) {
  std::vector<os::UniqueFd> sockets;
  os::ConfinementRules rules = os::rules_for_a_program(os::find_program("qemu-storage-daemon"));
  for (const DiskSource& disk : session_.disks) {
    rules.read.insert(rules.read.end(), disk.files.begin(), disk.files.end());
    if (!disk.overlay.empty()) rules.write.push_back(disk.overlay);
  }
  os::Confinement confinement(rules);
  os::ProcessOptions options;
  options.confinement = &confinement;
  options.arguments = storage_arguments(session_.disks, kFirstSocket);
  options.limit_address_space =
      kStorageAddressSpace + session_.disks.size() * (session_.limits.memory_bytes + kLargestHole);
  for (std::size_t disk = 0; disk < session_.disks.size(); ++disk) {
    sockets.push_back(listen_at(directory, socket_name(disk)));
    options.descriptors.emplace_back(sockets.back().get(), kFirstSocket + static_cast<int>(disk));
  }
  storage_.emplace(os::Process::start(options));
}

void Boot::start_kernel(const std::filesystem::path& directory, const std::filesystem::path& memory,
                        bool with_raid6) {
  os::Pipe request = os::make_pipe();
  os::Pipe answer = os::make_pipe();
  os::Pipe console = os::make_pipe();
  os::ConfinementRules rules = os::rules_for_a_program(session_.installation.kernel);
  rules.read.push_back(session_.installation.root_image);
  rules.write = {directory, memory};
  os::Confinement confinement(rules);
  os::ProcessOptions options;
  options.confinement = &confinement;
  // Its helper processes outlive it.
  options.guard_group = true;
  options.arguments = kernel_arguments({.program = session_.installation.kernel.string(),
                                        .memory_bytes = session_.limits.memory_bytes,
                                        .disks = session_.disks.size(),
                                        .request_descriptor = kRequestDescriptor,
                                        .answer_descriptor = kAnswerDescriptor,
                                        .with_raid6 = with_raid6});
  options.descriptors = {{request.read_end.get(), kRequestDescriptor},
                         {answer.write_end.get(), kAnswerDescriptor},
                         {console.write_end.get(), 1},
                         {console.write_end.get(), 2}};
  options.working_directory = directory;
  options.clear_environment = true;
  options.environment = {
      {"TMPDIR", memory.string()}, {"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"}, {"HOME", "/"}};
  options.limit_file_size = session_.limits.memory_bytes + kLargestHole;
  kernel_.emplace(os::Process::start(options));
  placement_.emplace(kernel_->pid());
  request_pipe_ = std::move(request.write_end);
  answer_pipe_ = std::move(answer.read_end);
  console_pipe_ = std::move(console.read_end);
  for (const os::UniqueFd* fd : {&request_pipe_, &answer_pipe_, &console_pipe_}) make_nonblocking(fd->get());
}

void Boot::check_limits() const {
  stop_.throw_if_stopped();
  if (Clock::now() >= deadline_)
    throw os::Error(os::ErrorKind::kSystem, "appliance",
                    "opening and repairing the guest took longer than " +
                        std::to_string(session_.limits.time.count()) + " s and was ended",
                    "", ETIMEDOUT);
}

void Boot::turn() {
  check_limits();
  placement_->look();
  pollfd waits[3] = {{console_pipe_.get(), POLLIN, 0},
                     {answer_pipe_.get(), POLLIN, 0},
                     {sent_ < to_send_.size() ? request_pipe_.get() : -1, POLLOUT, 0}};
  ::poll(waits, 3, static_cast<int>(kTick.count()));
  if (console_pipe_ &&
      !read_available(console_pipe_.get(), [&](std::string_view bytes) { console_.append(bytes); }))
    console_pipe_.reset();
  if (answer_pipe_ &&
      !read_available(answer_pipe_.get(), [&](std::string_view bytes) { lines_.append(bytes); }))
    answer_pipe_.reset();
  if (waits[2].revents != 0) {
    ssize_t put = ::write(request_pipe_.get(), to_send_.data() + sent_, to_send_.size() - sent_);
    if (put > 0) sent_ += static_cast<std::size_t>(put);
  }
}

std::optional<os::ExitStatus> Boot::wait_for_kernel(milliseconds time) {
  auto until = Clock::now() + time;
  std::optional<os::ExitStatus> status;
  while (!(status = kernel_->wait_for(milliseconds(0))) && Clock::now() < until) {
    if (console_pipe_ || answer_pipe_)
      turn();
    else
      kernel_->wait_for(kTick);
    check_limits();
  }
  // All who could write there are dead: what is left in the pipe is the end of it.
  while (status && console_pipe_) turn();
  return status;
}

void Boot::fail_early() {
  // Where the daemon could not open a disk the kernel stops too, or finds no disk: the daemon's reason is the
  // better one, and it comes a moment earlier or later.
  if (auto status = storage_->wait_for(kTick))
    throw os::Error(os::ErrorKind::kSystem, "qemu-storage-daemon",
                    status->description() + ": " + last_line(storage_->stderr_tail()),
                    "It could not serve the machine's disks to the appliance.");
  auto status = wait_for_kernel(kTimeToDie);
  std::string reason = console_.reason();
  throw os::Error(os::ErrorKind::kSystem, "appliance",
                  "its kernel " + (status ? status->description() : "hangs") +
                      " before the agent answered: " + (reason.empty() ? "it printed nothing" : reason),
                  kDiskAdvice);
}

std::optional<std::string> Boot::converse(std::string request,
                                          const std::function<void(const std::string&)>& progress) {
  bool greeted = false;
  std::size_t progress_lines = 0;
  while (true) {
    while (auto line = lines_.next()) {
      if (!greeted) {
        // Nothing may be sent before this: what lies in the pipe when the terminal inside is opened is not
        // noticed by it.
        if (*line != agent::kReadyLine)
          throw os::Error(os::ErrorKind::kInternal, "appliance", "its agent did not greet as it should",
                          "The root image is of another version of hyper2kvm: install both anew.");
        greeted = true;
        to_send_ = std::move(request) + "\n";
      } else if (*line == agent::kNeedsRaid6Line) {
        return std::nullopt;
      } else if (auto text = guest::parse_progress(*line)) {
        if (++progress_lines > kMostProgressLines)
          throw os::Error(os::ErrorKind::kInvalid, "appliance", "its agent reports progress without end");
        if (progress) progress(*text);
      } else {
        return line;
      }
    }
    if (!answer_pipe_ || kernel_->wait_for(milliseconds(0)) || storage_->wait_for(milliseconds(0))) {
      // What was written just before the end is still in the pipes.
      turn();
      if (auto line = lines_.next(); line && greeted) return line;
      fail_early();
    }
    turn();
  }
}

void Boot::end() {
  std::optional<os::ExitStatus> status = wait_for_kernel(kTimeToEnd);
  if (!status)
    throw os::Error(os::ErrorKind::kSystem, "appliance", "its machine answered but does not end", kDiskAdvice,
                    ETIMEDOUT);
  // A signal that was still on its way when a User-mode Linux has halted is handled on a stack that is not
  // the kernel's any more, and it crashes (arch/um/os-Linux/main.c, "Let any pending signals fire now"). Its
  // file systems were unmounted before the answer, and everything else has ended.
  if (!status->success() && !console_.halted())
    throw os::Error(os::ErrorKind::kSystem, "appliance",
                    "its kernel " + status->description() + " after the answer: " + console_.reason(),
                    kDiskAdvice);
  storage_->signal(SIGTERM);
  auto until = Clock::now() + kTimeToEnd;
  while (!(status = storage_->wait_for(kTick))) {
    check_limits();
    if (Clock::now() >= until)
      throw os::Error(os::ErrorKind::kSystem, "qemu-storage-daemon", "does not end", "", ETIMEDOUT);
  }
  if (!status->success())
    throw os::Error(os::ErrorKind::kSystem, "qemu-storage-daemon",
                    status->description() + ": " + last_line(storage_->stderr_tail()),
                    "What the repair wrote may be incomplete.");
}

void check(const Session& session) {
  auto must_be_file = [](const std::filesystem::path& path, const char* advice) {
    std::error_code failed;
    if (!std::filesystem::is_regular_file(path, failed))
      throw os::Error(os::ErrorKind::kInvalid, path.empty() ? "appliance" : path.string(),
                      "a part of the appliance is missing", advice);
  };
  must_be_file(session.installation.kernel, "Install the package user-mode-linux.");
  must_be_file(session.installation.root_image, "Install hyper2kvm whole: its root image is made with it.");
  if (session.limits.memory_bytes < kSmallestMemory)
    throw os::Error(os::ErrorKind::kUsage, "appliance",
                    "cannot run in " + std::to_string(session.limits.memory_bytes / kMiB) + " MiB of memory",
                    "Give it " + std::to_string(kSmallestMemory / kMiB) + " MiB or more.");
}

guest::Answer run_checked(const Session& session, const guest::Request& request, const os::StopToken& stop,
                          const std::function<void(const std::string&)>& progress) {
  check(session);
  auto deadline = Clock::now() + session.limits.time;
  // The kernel unlinks its memory file as soon as it has it; a directory of its own is what it may write to.
  MemoryDirectory memory(choose_memory_directory(session.limits.memory_bytes));
  std::string request_line = guest::serialize(request);
  for (bool with_raid6 : {false, true}) {
    os::TemporaryDirectory directory("appliance", session.scratch);
    std::error_code failed;
    std::filesystem::create_symlink(std::filesystem::absolute(session.installation.root_image),
                                    directory.path() / kRootImageName, failed);
    if (failed) throw os::system_error(failed.value(), "make a link in", directory.path().string());
    Boot boot(session, directory.path(), memory.path(), with_raid6, deadline, stop);
    auto keep_console = [&] {
      if (!session.console_log.empty())
        os::write_text_atomically(session.console_log, boot.console().text(), 0600);
    };
    try {
      std::optional<std::string> answer = boot.converse(request_line, progress);
      boot.end();
      keep_console();
      if (answer) return guest::parse_answer(*answer);
    } catch (...) {
      keep_console();
      throw;
    }
  }
  throw os::Error(os::ErrorKind::kInternal, "appliance", "its agent asked for RAID 6 twice");
}

}  // namespace

guest::Answer run(const Session& session, const guest::Request& request, const os::StopToken& stop,
                  const std::function<void(const std::string&)>& progress) {
  try {
    return run_checked(session, request, stop, progress);
  } catch (const os::Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw os::Error(os::ErrorKind::kSystem, "appliance", "there is not enough memory", "", ENOMEM);
  } catch (const std::exception& error) {
    throw os::Error(os::ErrorKind::kInternal, "appliance", error.what());
  }
}

}  // namespace hyper2kvm::appliance
