// The program `hyperctl`: asks systemd and the daemon, and tells the daemon what to do.
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "runner/cli/hyperctl_commands.h"
#include "runner/contract/version.h"
#include "runner/os/error.h"

namespace hyper2kvm::cli {
namespace {

int run(const HyperctlArguments& arguments) {
  if (arguments.has("help") || arguments.has("h")) {
    std::fputs(kHyperctlHelp, stdout);
    return 0;
  }
  if (arguments.has("version")) {
    std::printf("hyperctl %s\n", std::string(contract::hyper2kvm_version()).c_str());
    return 0;
  }
  std::string command = arguments.words.empty() ? "" : arguments.words[0];
  if (command == "daemon") return run_hyperctl_daemon(arguments);
  if (command == "jobs") return run_hyperctl_jobs(arguments);
  if (command == "list") return run_hyperctl_list(arguments);
  throw os::Error(os::ErrorKind::kUsage, command.empty() ? "hyperctl" : command,
                  command.empty() ? "needs a command" : "is not a command of hyperctl",
                  "Use daemon, jobs or list; hyperctl -help shows all.");
}

}  // namespace
}  // namespace hyper2kvm::cli

int main(int count, char** words) {
  try {
    return hyper2kvm::cli::run(hyper2kvm::cli::parse_hyperctl_arguments({words + 1, words + count}));
  } catch (const hyper2kvm::os::Error& error) {
    std::fprintf(stderr, "hyperctl: %s\n", error.sentence().c_str());
    return error.exit_status();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hyperctl: an unexpected error: %s. Please report it.\n", error.what());
    return 1;
  }
}
