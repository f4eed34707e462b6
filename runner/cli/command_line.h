// The whole command line: which subcommand, with which arguments.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runner/cli/convert.h"
#include "runner/cli/daemon.h"
#include "runner/cli/inspect.h"

namespace hyper2kvm::cli {

struct CommandLine {
  enum class Command {
    kSay,  // --help or --version: `text` goes to stdout
    kConvert,
    kInspect,
    kDaemon,
  };
  Command command = Command::kConvert;
  std::string text;
  ConvertArguments convert;
  InspectArguments inspect;
  DaemonArguments daemon;
};

// arguments: without the program's name. `hyper2kvm FILE` means `hyper2kvm convert FILE`. Throws os::Error
// (kUsage).
CommandLine parse_command_line(std::vector<std::string> arguments);

// Every option and subcommand that --help shows, for whoever keeps another list of them: "convert --output",
// "convert -o", "--version".
std::vector<std::string> all_options();

}  // namespace hyper2kvm::cli
