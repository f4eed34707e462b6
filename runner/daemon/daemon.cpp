#include "runner/daemon/daemon.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <memory>
#include <nlohmann/json.hpp>

#include "runner/contract/version.h"
#include "runner/daemon/control_commands.h"
#include "runner/daemon/control_server.h"
#include "runner/daemon/dispatcher.h"
#include "runner/daemon/log.h"
#include "runner/daemon/metrics.h"
#include "runner/daemon/queue_watch.h"
#include "runner/daemon/service_manager.h"
#include "runner/os/error.h"

namespace hyper2kvm::daemon {
namespace {

namespace fs = std::filesystem;
using os::Error;
using os::ErrorKind;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTick{200};
constexpr std::chrono::milliseconds kNewFilesSlice{20};
constexpr std::chrono::milliseconds kBacklogSlice{5};
constexpr std::chrono::seconds kHousekeeping{60};
// TimeoutStopSec=30s of the unit: asked to stop at 0 s, what publishes may finish until 15 s.
constexpr std::chrono::seconds kFinishLimit{15};

os::UniqueFd signal_descriptor() {
  sigset_t set;
  ::sigemptyset(&set);
  for (int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&set, number);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) throw os::system_error(errno, "block", "signals");
  ::signal(SIGPIPE, SIG_IGN);
  os::UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) throw os::system_error(errno, "wait for", "signals");
  return fd;
}

fs::path own_program() {
  std::error_code code;
  fs::path path = fs::read_symlink("/proc/self/exe", code);
  if (code) throw os::system_error(code.value(), "find", "/proc/self/exe");
  return path;
}

class Daemon {
 public:
  explicit Daemon(DaemonOptions options)
      : options_(std::move(options)),
        signals_(signal_descriptor()),
        log_(options_.source.instance),
        dispatcher_(first_settings(), options_.program, log_),
        watch_(dispatcher_.settings().watch_dir),
        state_{dispatcher_, std::chrono::system_clock::now()} {
    open_control_socket();
    open_metrics();
  }

  int run() {
    if (!watch_.trouble().empty())
      log_.warning(fmt::format("{} The queue is looked at every {} s instead.", watch_.trouble(),
                               dispatcher_.settings().poll_interval.count()));
    dispatcher_.recover();
    dispatcher_.forget_expired();
    service_.ready(dispatcher_.status_text());
    log_.info(fmt::format("hyper2kvm {} watches {}; {} job(s) are queued.", contract::hyper2kvm_version(),
                          dispatcher_.settings().watch_dir.string(), dispatcher_.waiting()));
    while (!turn()) {
    }
    service_.status("stopped");
    log_.info("stopped");
    return 0;
  }

 private:
  Settings first_settings() {
    options_.source.environment = own_environment(options_.source);
    LoadedSettings loaded = load_settings(options_.source);
    log_.set_level(loaded.settings.log_level);
    tell(loaded);
    return loaded.settings;
  }

  void tell(const LoadedSettings& loaded) {
    for (const std::string& warning : loaded.warnings) log_.warning(warning);
    for (const std::string& line : describe(loaded.settings)) log_.info(line);
  }

  void open_control_socket() {
    fs::path directory = options_.runtime_directory;
    const char* given = std::getenv("RUNTIME_DIRECTORY");
    if (directory.empty() && given != nullptr)
      directory = std::string(given).substr(0, std::string(given).find(':'));
    if (directory.empty()) directory = runtime_directory(dispatcher_.settings().instance);
    try {
      os::make_directories(directory);
      control_ = std::make_unique<ControlServer>(directory / "control.sock", [this](const auto& request) {
        return answer_command(state_, request);
      });
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kUsage) throw;
      log_.warning(error.sentence() + " hyperctl cannot reach this daemon.");
    }
  }

  void open_metrics() {
    const std::string& address = dispatcher_.settings().metrics_address;
    if (address.empty()) return;
    metrics_ = std::make_unique<Metrics>(address, dispatcher_.settings().instance);
    log_.info("Metrics are at http://" + address + "/metrics.");
  }

  void reload() {
    service_.reloading();
    try {
      std::string address = dispatcher_.settings().metrics_address;
      LoadedSettings loaded = load_settings(options_.source);
      log_.set_level(loaded.settings.log_level);
      tell(loaded);
      dispatcher_.set_settings(loaded.settings);
      if (address != loaded.settings.metrics_address) {
        metrics_.reset();
        open_metrics();
      }
      log_.info("The configuration was read again.");
    } catch (const Error& error) {
      log_.error(error.sentence() + " The configuration stays as it was.");
    }
    service_.ready(dispatcher_.status_text());
    state_.changed = true;
  }

  void begin_stop() {
    if (stopping_since_) {
      dispatcher_.kill_running();
      return;
    }
    stopping_since_ = Clock::now();
    log_.info("stops: running jobs go back to the queue");
    dispatcher_.stop();
    service_.stopping(dispatcher_.status_text());
  }

  void take_signals() {
    signalfd_siginfo info;
    while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
      if (info.ssi_signo == SIGHUP)
        reload();
      else
        begin_stop();
    }
  }

  void take(const std::string& name) {
    try {
      Readiness readiness = dispatcher_.take(name, watch_.writer(name));
      if (readiness == Readiness::kReady) state_.changed = true;
      if (readiness != Readiness::kNotYet) watch_.forget(name);
      trouble_.erase(name);
    } catch (const Error& error) {
      // It stays in the queue and is looked at again with the next scan; said once.
      if (trouble_.insert(name).second) log_.error(error.sentence());
    }
  }

  void take_from_queue() {
    for (std::string& name : watch_.take_events()) new_files_.push_back(std::move(name));
    auto now = Clock::now();
    while (!new_files_.empty() && Clock::now() - now < kNewFilesSlice) {
      take(new_files_.front());
      new_files_.pop_front();
    }
    now = Clock::now();
    if (now >= next_scan_) {
      next_scan_ = now + dispatcher_.settings().poll_interval;
      if (backlog_.empty()) {
        try {
          for (std::string& name : watch_.scan()) backlog_.push_back(std::move(name));
        } catch (const Error& error) {
          if (trouble_.insert("").second) log_.error(error.sentence());
        }
      }
    }
    // A long queue is taken in slices, so that a new file never waits for all of it, nor whoever asks over
    // the socket.
    while (new_files_.empty() && !backlog_.empty() && Clock::now() - now < kBacklogSlice) {
      take(backlog_.front());
      backlog_.pop_front();
    }
  }

  void wait() {
    std::vector<pollfd> polled{{signals_.get(), POLLIN, 0}};
    if (watch_.descriptor() >= 0) polled.push_back({watch_.descriptor(), POLLIN, 0});
    dispatcher_.add_to(polled);
    if (control_) control_->add_to(polled);
    bool more = !new_files_.empty() || !backlog_.empty() || dispatcher_.has_more_to_tend();
    ::poll(polled.data(), polled.size(), more ? 0 : static_cast<int>(kTick.count()));
  }

  // One turn of the loop; true when the daemon is to end.
  bool turn() {
    wait();
    take_signals();
    if (!stopping_since_) take_from_queue();
    if (dispatcher_.tend()) state_.changed = true;
    auto now = Clock::now();
    // What waits is looked at as a whole: at once where something could begin, and now and then.
    if ((state_.changed && dispatcher_.has_free_slot()) || now >= next_start_) {
      dispatcher_.start_due();
      next_start_ = Clock::now() + kTick;
      state_.changed = false;
    }
    if (control_) control_->serve();
    if (state_.stop_requested && !stopping_since_) begin_stop();
    if (now >= next_housekeeping_) {
      dispatcher_.forget_expired();
      next_housekeeping_ = now + kHousekeeping;
    }
    report(now);
    if (stopping_since_ && now - *stopping_since_ > kFinishLimit) dispatcher_.kill_running();
    return (stopping_since_ || dispatcher_.draining()) && dispatcher_.idle();
  }

  void report(Clock::time_point now) {
    service_.alive();
    if (now < next_report_) return;
    next_report_ = now + std::chrono::seconds(1);
    service_.status(dispatcher_.status_text());
    if (!metrics_) return;
    std::error_code code;
    fs::space_info space = fs::space(dispatcher_.settings().output_dir, code);
    metrics_->update(dispatcher_.totals(), {.queued = dispatcher_.waiting(),
                                            .running = dispatcher_.count(Phase::kRunning),
                                            .paused = dispatcher_.paused(),
                                            .free_bytes = code ? 0 : space.available,
                                            .bytes_per_second = dispatcher_.bytes_per_second()});
  }

  DaemonOptions options_;
  os::UniqueFd signals_;  // first: threads that start later inherit the blocked signals
  Log log_;
  Dispatcher dispatcher_;
  QueueWatch watch_;
  DaemonState state_;
  ServiceManager service_;
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<Metrics> metrics_;
  std::deque<std::string> new_files_;  // as they came
  std::deque<std::string> backlog_;    // as a look at the whole queue found them
  std::set<std::string> trouble_;      // names whose trouble was told
  std::optional<Clock::time_point> stopping_since_;
  Clock::time_point next_scan_{}, next_start_{}, next_report_{};
  Clock::time_point next_housekeeping_ = Clock::now() + kHousekeeping;
};

}  // namespace

int run_daemon(DaemonOptions options) {
  if (options.program.empty()) options.program = own_program();
  ::curl_global_init(CURL_GLOBAL_DEFAULT);
  std::string instance = options.source.instance;
  try {
    return Daemon(std::move(options)).run();
  } catch (const Error& error) {
    // With its priority: `journalctl -p err` tells why the service does not start.
    Log(instance).error(error.sentence());
    return error.exit_status();
  }
}

}  // namespace hyper2kvm::daemon
