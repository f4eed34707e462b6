// What the daemon says to systemd (sd_notify(3)); silent where it was not started by it. Not thread-safe;
// nothing throws.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace hyper2kvm::daemon {

class ServiceManager {
 public:
  ServiceManager();
  void ready(const std::string& status);
  void reloading();
  void stopping(const std::string& status);
  // Sent only when it changes.
  void status(const std::string& text);
  // Tells the watchdog that the loop turns; call at least as often as watchdog_interval().
  void alive();
  // Half of WatchdogSec=; nullopt where no watchdog is set.
  std::optional<std::chrono::milliseconds> watchdog_interval() const { return watchdog_; }

 private:
  std::string last_status_;
  std::optional<std::chrono::milliseconds> watchdog_;
  std::chrono::steady_clock::time_point last_alive_{};
};

}  // namespace hyper2kvm::daemon
