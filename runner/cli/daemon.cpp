#include "runner/cli/daemon.h"

#include <CLI/CLI.hpp>

namespace hyper2kvm::cli {
namespace {

constexpr const char* kExamples = R"(
Settings come from /etc/hyper2kvm/hyper2kvm.conf and hyper2kvm-INSTANCE.conf, see hyper2kvm.conf(5).
SIGHUP reads them again, SIGTERM stops: running jobs go back to the queue. hyperctl(1) looks after it.

Examples:
  systemctl start hyper2kvm.service
  hyper2kvm daemon --watch-dir=/srv/queue --output-dir=/srv/images --log-level=debug)";

}  // namespace

void describe_daemon(CLI::App& app, DaemonArguments& arguments) {
  app.description("Watch a directory for Artifact Manifests and convert what they name.");
  app.footer(kExamples);
  app.add_option("--instance", arguments.instance, "A named instance; else the default one")
      ->type_name("NAME");
  app.add_option("--watch-dir", arguments.watch_directory, "The queue; else WATCH_DIR")->type_name("DIR");
  app.add_option("--output-dir", arguments.output_directory, "Where results go; else OUTPUT_DIR")
      ->type_name("DIR");
  app.add_option("--log-level", arguments.log_level, "debug, info, warn or error; else LOG_LEVEL")
      ->type_name("LEVEL");
  app.add_option("--config-dir", arguments.configuration_directory,
                 "Where the configuration files are; else /etc/hyper2kvm")
      ->type_name("DIR");
  app.add_option("--runtime-dir", arguments.runtime_directory,
                 "Where the control socket is made; else $RUNTIME_DIRECTORY or /run/hyper2kvm[-NAME]")
      ->type_name("DIR");
}

int run_daemon(const DaemonArguments& arguments) {
  daemon::DaemonOptions options;
  options.source.instance = arguments.instance;
  options.source.configuration_directory = arguments.configuration_directory;
  options.source.watch_dir = arguments.watch_directory;
  options.source.output_dir = arguments.output_directory;
  options.source.log_level = arguments.log_level;
  options.runtime_directory = arguments.runtime_directory;
  return daemon::run_daemon(std::move(options));
}

}  // namespace hyper2kvm::cli
