// The daemon: one instance, from its start to its end.
//
// One thread turns one loop over signals, the queue, the conversions, the control socket and the
// notifications; it starts every child, because a child dies with the thread that started it. Signals:
// SIGTERM and SIGINT stop (running jobs go back to the queue), SIGHUP reads the configuration again. Source:
// docs/daemon.md.
#pragma once

#include <filesystem>

#include "runner/daemon/settings.h"

namespace hyper2kvm::daemon {

struct DaemonOptions {
  SettingsSource source;          // environment is filled in by run_daemon
  std::filesystem::path program;  // hyper2kvm itself; empty: the running program
  std::filesystem::path
      runtime_directory;  // of control.sock; empty: $RUNTIME_DIRECTORY, or /run/hyper2kvm...
};

// Returns the exit status: 0 when it was asked to stop; that of the error, which is in the log, where it
// cannot start. Throws nothing.
int run_daemon(DaemonOptions options);

}  // namespace hyper2kvm::daemon
