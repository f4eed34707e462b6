// The daemon's units as systemd has them, over D-Bus; no output of systemctl is read.
//
// Source: org.freedesktop.systemd1(5). Thread-safe: every call has a connection of its own. Throws os::Error
// (kSystem) where the service manager cannot be asked.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hyper2kvm::daemon {

struct ServiceUnit {
  std::string instance;  // empty: the default one
  std::string service;   // hyper2kvm.service, hyper2kvm@NAME.service
  std::string load_state, active_state, sub_state, status_text;
  std::uint32_t main_pid = 0;
  std::int64_t active_since = 0;  // seconds since the epoch; 0 where it is not active
  std::uint64_t memory_bytes = 0;
  bool active() const { return active_state == "active" || active_state == "reloading"; }
};

// One instance, whether it runs or not. load_state is "not-found" where the unit is not installed.
ServiceUnit service_unit(const std::string& instance);

// The instances that the service manager knows: loaded, or enabled.
std::vector<std::string> known_instances();

}  // namespace hyper2kvm::daemon
