// One thread waits for all of it, at most 50 ms at a time: the console, the monitor, the agent, the end of
// the emulator, the time limit, a stop.
#include "runner/boot/trial.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "runner/boot/console_watch.h"
#include "runner/boot/monitor.h"
#include "runner/contract/text.h"
#include "runner/os/error.h"
#include "runner/os/process.h"

namespace hyper2kvm::boot {
namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;
using std::chrono::milliseconds;
using namespace std::chrono_literals;

constexpr milliseconds kTick = 50ms;
constexpr milliseconds kBetweenSamples = 2s;
constexpr milliseconds kBetweenPings = 3s;
constexpr milliseconds kBetweenSentences = 30s;
// What is still said after the first sign of a failure often tells more.
constexpr milliseconds kAfterFailure = 1s;
constexpr milliseconds kForAScreenshot = 15s;
// A guest may restart after it has labelled its files or finished an update.
constexpr int kMostRestarts = 3;
constexpr std::size_t kLastWords = 600;
constexpr std::uint64_t kMiB = 1u << 20;
// The emulator's own, without the machine's memory: code buffer, stacks, libraries.
constexpr std::uint64_t kAddressSpace = 8192 * kMiB;
constexpr std::size_t kConsoleTurn = 1u << 20;  // bytes

std::uint64_t counter(const json& statistics, const char* key) {
  auto found = statistics.find(key);
  return found != statistics.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

// The answer of query-blockstats: one entry a disk, those of the firmware without a device.
std::optional<DiskCounters> counters_of(const json& answer) {
  if (!answer.is_array() || answer.empty()) return std::nullopt;
  DiskCounters sum;
  for (const json& disk : answer) {
    if (!disk.is_object() || !disk.contains("stats") || !disk["stats"].is_object()) return std::nullopt;
    if (!disk.contains("qdev")) continue;
    sum.bytes_read += counter(disk["stats"], "rd_bytes");
    sum.bytes_written += counter(disk["stats"], "wr_bytes");
  }
  return sum;
}

class Watch {
 public:
  Watch(const Trial& trial, const os::StopToken& stop);
  Result run(const std::function<void(const std::string&)>& progress);

 private:
  milliseconds elapsed() const { return std::chrono::duration_cast<milliseconds>(Clock::now() - started_); }
  // Waits for something to happen and takes it. False once the emulator has ended.
  bool turn();
  void take_console();
  void take_monitor(const json& message);
  void ask();
  void check_overlays() const;
  void decide(bool up, const std::string& sign);
  bool take_screenshot();
  [[noreturn]] void emulator_ended();

  const Trial& trial_;
  const os::StopToken& stop_;
  Clock::time_point started_ = Clock::now();
  os::UniqueFd console_;
  os::UniqueFd keyboard_;  // kept open: the emulator would take its end for a hang-up
  std::optional<JsonLine> monitor_;
  std::optional<JsonLine> agent_;
  std::optional<os::Process> process_;
  ConsoleWatch watch_;
  ActivityWatch activity_;
  milliseconds last_sample_{0}, last_ping_{0}, last_words_{0};
  int restarts_ = 0;
  bool has_greeted_ = false;
  bool screenshot_answered_ = false;
  std::optional<bool> up_;
  std::string sign_;
};

Watch::Watch(const Trial& trial, const os::StopToken& stop) : trial_(trial), stop_(stop) {
  const Machine& machine = trial.machine;
  os::ConfinementRules rules = os::rules_for_a_program(machine.emulator);
  for (const char* place : {"/usr/share/qemu", "/usr/share/seabios", "/usr/share/OVMF", "/usr/share/edk2",
                            "/usr/lib/ipxe", "/sys/kernel/mm", "/sys/module"})
    rules.read.emplace_back(place);
  if (machine.uefi) {
    rules.read.push_back(machine.uefi->code);
    rules.write.push_back(machine.uefi->variables);
  }
  if (machine.kvm) rules.write.emplace_back("/dev/kvm");
  rules.write.push_back(trial.scratch);
  for (const Disk& disk : machine.disks) {
    rules.read.push_back(disk.image);
    rules.write.push_back(disk.overlay);
  }
  os::Confinement confinement(rules);
  os::Pipe console = os::make_pipe();
  os::Pipe keyboard = os::make_pipe();
  JsonLine::Ends monitor = JsonLine::make_ends();
  JsonLine::Ends agent = JsonLine::make_ends();
  os::ProcessOptions options;
  options.confinement = &confinement;
  options.arguments = arguments_of(machine);
  options.descriptors = {{keyboard.read_end.get(), 0},
                         {console.write_end.get(), 1},
                         {monitor.theirs.get(), kMonitorDescriptor},
                         {agent.theirs.get(), kAgentDescriptor}};
  options.working_directory = trial.scratch;
  options.clear_environment = true;
  options.environment = {{"TMPDIR", trial.scratch.string()}, {"PATH", "/usr/bin:/bin"}, {"HOME", "/"}};
  options.limit_address_space = machine.memory_mib * kMiB + kAddressSpace;
  process_.emplace(os::Process::start(options));
  console_ = std::move(console.read_end);
  keyboard_ = std::move(keyboard.write_end);
  if (::fcntl(console_.get(), F_SETFL, O_NONBLOCK) != 0)
    throw os::system_error(errno, "read", "the machine's console");
  monitor_.emplace(std::move(monitor.ours));
  agent_.emplace(std::move(agent.ours));
}

void Watch::decide(bool up, const std::string& sign) {
  if (up_) return;
  up_ = up;
  sign_ = sign;
}

void Watch::take_console() {
  char buffer[16384];
  std::size_t taken = 0;
  while (taken < kConsoleTurn) {
    ssize_t got = ::read(console_.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    watch_.feed({buffer, static_cast<std::size_t>(got)});
    taken += static_cast<std::size_t>(got);
  }
}

void Watch::take_monitor(const json& message) {
  if (message.contains("QMP")) {
    monitor_->send({{"execute", "qmp_capabilities"}});
    has_greeted_ = true;
  } else if (message.contains("return")) {
    const std::string id = message.contains("id") && message["id"].is_string() ? message["id"] : "";
    if (id == "screenshot") screenshot_answered_ = true;
    if (id == "disks")
      if (auto counters = counters_of(message["return"])) activity_.sample(elapsed(), *counters);
  } else if (message.contains("error")) {
    if (message.contains("id") && message["id"] == "screenshot") screenshot_answered_ = true;
  } else if (message.contains("event") && message["event"].is_string()) {
    const std::string event = message["event"];
    if (event == "GUEST_PANICKED") {
      decide(false, "its kernel panicked");
    } else if (event == "RESET" && ++restarts_ > kMostRestarts) {
      decide(false, "it restarts over and over");
    } else if (event == "SHUTDOWN") {
      decide(false, "it switched itself off");
    } else if (event == "BLOCK_IO_ERROR" && !up_) {
      throw os::Error(os::ErrorKind::kSystem, "The machine's temporary overlay",
                      "could not be read or written while the machine was started",
                      "Check that the output directory's file system has space left.");
    }
  }
}

void Watch::ask() {
  if (has_greeted_ && elapsed() - last_sample_ >= kBetweenSamples) {
    last_sample_ = elapsed();
    monitor_->send({{"execute", "query-blockstats"}, {"id", "disks"}});
    check_overlays();
  }
  if (elapsed() - last_ping_ >= kBetweenPings) {
    last_ping_ = elapsed();
    agent_->send({{"execute", "guest-ping"}});
  }
}

void Watch::check_overlays() const {
  std::uint64_t bytes = 0;
  for (const Disk& disk : trial_.machine.disks) {
    struct stat status {};
    if (::stat(disk.overlay.c_str(), &status) == 0)
      bytes += static_cast<std::uint64_t>(status.st_blocks) * 512;
  }
  if (bytes > trial_.overlay_limit)
    throw os::Error(
        os::ErrorKind::kInvalid, "The converted machine",
        "wrote more than " + std::to_string(trial_.overlay_limit / kMiB) + " MiB while it was started",
        "Switch pipeline.validate.boot off for this machine.");
}

bool Watch::turn() {
  stop_.throw_if_stopped();
  pollfd waits[3] = {{console_.get(), POLLIN, 0}, {monitor_->fd(), POLLIN, 0}, {agent_->fd(), POLLIN, 0}};
  ::poll(waits, 3, static_cast<int>(kTick.count()));
  take_console();
  std::vector<json> messages;
  bool is_alive = monitor_->receive(messages);
  for (const json& message : messages) take_monitor(message);
  messages.clear();
  is_alive = agent_->receive(messages) && is_alive;
  for (const json& message : messages)
    if (message.contains("return")) decide(true, "guest agent");
  // A closed stream is always ready; what has ended is found out here instead.
  if (!is_alive && process_->wait_for(kTick)) {
    take_console();
    return false;
  }
  return true;
}

bool Watch::take_screenshot() {
  if (trial_.screenshot.empty() || !has_greeted_) return false;
  monitor_->send({{"execute", "screendump"},
                  {"id", "screenshot"},
                  {"arguments", {{"filename", trial_.screenshot.string()}, {"format", "png"}}}});
  const milliseconds until = elapsed() + kForAScreenshot;
  while (!screenshot_answered_ && elapsed() < until)
    if (!turn()) break;
  struct stat status {};
  return screenshot_answered_ && ::lstat(trial_.screenshot.c_str(), &status) == 0 &&
         S_ISREG(status.st_mode) && status.st_size > 0;
}

void Watch::emulator_ended() {
  std::string said = contract::printable(process_->stderr_tail(), 500);
  throw os::Error(os::ErrorKind::kSystem, "qemu-system-x86_64",
                  "ended while it was starting the converted machine" + (said.empty() ? "" : ": " + said));
}

Result Watch::run(const std::function<void(const std::string&)>& progress) {
  Result result;
  bool is_running = true;
  while (!up_) {
    is_running = turn();
    if (watch_.verdict() != Verdict::kUndecided)
      decide(watch_.verdict() == Verdict::kUp, watch_.sign());
    else if (activity_.has_settled())
      decide(true, "disk activity");
    if (up_) break;
    if (!is_running) emulator_ended();
    if (elapsed() >= trial_.time_limit) {
      decide(false, "it did not come up within " +
                        std::to_string(std::chrono::ceil<std::chrono::seconds>(trial_.time_limit).count()) +
                        " s" + (watch_.is_silent() ? " and said nothing on its serial console" : ""));
      break;
    }
    ask();
    if (elapsed() - last_words_ >= kBetweenSentences) {
      last_words_ = elapsed();
      std::string words = watch_.last_words(100);
      progress("starting for " + std::to_string(elapsed().count() / 1000) + " s" +
               (words.empty() ? "" : ", the console says: " + words));
    }
  }
  result.time = elapsed();
  if (!*up_)
    for (milliseconds until = elapsed() + kAfterFailure; is_running && elapsed() < until;)
      is_running = turn();
  if (is_running && (!*up_ || sign_ == "disk activity")) result.has_screenshot = take_screenshot();
  result.up = *up_;
  result.sign = sign_;
  result.disks = activity_.counters();
  result.console_tail = watch_.tail();
  result.last_words = watch_.last_words(kLastWords);
  return result;
}

}  // namespace

Result run(const Trial& trial, const os::StopToken& stop,
           const std::function<void(const std::string&)>& progress) {
  return Watch(trial, stop).run(progress ? progress : [](const std::string&) {});
}

}  // namespace hyper2kvm::boot
