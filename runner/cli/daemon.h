// `hyper2kvm daemon`: one instance of the daemon, in the foreground, as a service manager starts it.
#pragma once

#include <string>

#include "runner/daemon/daemon.h"

namespace CLI {
class App;
}

namespace hyper2kvm::cli {

struct DaemonArguments {
  std::string instance;
  std::string watch_directory, output_directory, log_level;
  std::string configuration_directory = "/etc/hyper2kvm";
  std::string runtime_directory;
};

// Adds the options to a subcommand; arguments must outlive app.
void describe_daemon(CLI::App& app, DaemonArguments& arguments);

// Returns the exit status. Why it could not start is in its log then.
int run_daemon(const DaemonArguments& arguments);

}  // namespace hyper2kvm::cli
