#include "runner/daemon/service_manager.h"

#include <systemd/sd-daemon.h>

#include <cstdint>

namespace hyper2kvm::daemon {
namespace {

std::string line(std::string text) {
  for (char& c : text)
    if (c == '\n' || c == '\r') c = ' ';
  return text;
}

}  // namespace

ServiceManager::ServiceManager() {
  std::uint64_t microseconds = 0;
  if (::sd_watchdog_enabled(0, &microseconds) > 0)
    watchdog_ = std::chrono::milliseconds(microseconds / 2000 + 1);
}

void ServiceManager::ready(const std::string& status) {
  last_status_ = status;
  ::sd_notify(0, ("READY=1\nSTATUS=" + line(status)).c_str());
}

void ServiceManager::reloading() { ::sd_notify(0, "RELOADING=1"); }

void ServiceManager::stopping(const std::string& status) {
  last_status_ = status;
  ::sd_notify(0, ("STOPPING=1\nSTATUS=" + line(status)).c_str());
}

void ServiceManager::status(const std::string& text) {
  if (text == last_status_) return;
  last_status_ = text;
  ::sd_notify(0, ("STATUS=" + line(text)).c_str());
}

void ServiceManager::alive() {
  auto now = std::chrono::steady_clock::now();
  if (!watchdog_ || now - last_alive_ < *watchdog_ / 2) return;
  last_alive_ = now;
  ::sd_notify(0, "WATCHDOG=1");
}

}  // namespace hyper2kvm::daemon
