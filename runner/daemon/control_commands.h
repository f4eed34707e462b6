// What the control socket understands: one function a command. Driven by the daemon's loop.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>

#include "runner/daemon/dispatcher.h"

namespace hyper2kvm::daemon {

struct DaemonState {
  Dispatcher& dispatcher;
  std::chrono::system_clock::time_point started;
  bool stop_requested = false;  // set by "stop"
  bool changed = false;         // set by whatever changes what is to be done
};

// Throws os::Error for a command that is unknown or refused.
nlohmann::json answer_command(DaemonState& state, const nlohmann::json& request);

}  // namespace hyper2kvm::daemon
