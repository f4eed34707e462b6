#include "runner/cli/inspect.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "runner/cli/inspect_text.h"
#include "runner/pipeline/pipeline.h"

namespace hyper2kvm::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  hyper2kvm inspect web01.ova
      Disks, partitions, operating system, kernels, and what a repair would change.
  hyper2kvm inspect --json web01.ova | jq -r .guest.pretty_name
      The same for a program.)";

}  // namespace

void describe_inspect(CLI::App& app, InspectArguments& arguments) {
  app.description("Show what is in a machine and what a repair would change. Changes nothing.");
  app.footer(kExamples);
  add_inputs(app, arguments.inputs);
  app.add_flag("--json", arguments.json, "Print one JSON object");
  add_guest_options(app, arguments.guest);
}

int run_inspect(const InspectArguments& arguments, const os::StopToken& stop) {
  pipeline::Settings settings = settings_of(arguments.guest);
  pipeline::Job job = pipeline::open_inputs(arguments.inputs);
  Verbosity verbosity = verbosity_of(arguments.guest, 0);
  // Warnings are in the answer; they are not said twice.
  nlohmann::json found;
  {
    auto sink = make_sink(LogFormat::kText, verbosity == Verbosity::kNormal ? Verbosity::kQuiet : verbosity,
                          !arguments.guest.no_progress);
    found = pipeline::inspect(job, settings, *sink, stop);
  }
  std::string text = arguments.json
                         ? found.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n"
                         : inspect_text(found);
  write_to(STDOUT_FILENO, text);
  return 0;
}

}  // namespace hyper2kvm::cli
