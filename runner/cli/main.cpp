// The program `hyper2kvm`. Reads the command line, runs one subcommand, and prints the one error, once.
#include <unistd.h>

#include <exception>
#include <string>
#include <vector>

#include "runner/cli/command_line.h"
#include "runner/contract/text.h"
#include "runner/os/error.h"

namespace hyper2kvm::cli {
namespace {

int run(int count, char** words) {
  CommandLine line = parse_command_line({words + 1, words + count});
  if (line.command == CommandLine::Command::kSay) {
    write_to(STDOUT_FILENO, line.text);
    return 0;
  }
  // The daemon has signals of its own: a stop is not the end of a job there.
  if (line.command == CommandLine::Command::kDaemon) return run_daemon(line.daemon);
  os::StopToken stop = os::stop_on_signals();
  return line.command == CommandLine::Command::kInspect ? run_inspect(line.inspect, stop)
                                                        : run_convert(line.convert, stop);
}

int fail(const std::string& sentence, int status) {
  write_to(STDERR_FILENO, "hyper2kvm: " + contract::printable(sentence, 16384) + "\n");
  return status;
}

}  // namespace
}  // namespace hyper2kvm::cli

int main(int count, char** words) {
  try {
    return hyper2kvm::cli::run(count, words);
  } catch (const hyper2kvm::os::Error& error) {
    return hyper2kvm::cli::fail(error.sentence(), error.exit_status());
  } catch (const std::exception& error) {
    return hyper2kvm::cli::fail(std::string("an unexpected error: ") + error.what() + ". Please report it.",
                                1);
  }
}
