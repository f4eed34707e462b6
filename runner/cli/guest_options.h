// The options that every subcommand has which opens a guest, and how much it says.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runner/cli/event_sinks.h"
#include "runner/pipeline/pipeline.h"

namespace CLI {
class App;
}

namespace hyper2kvm::cli {

struct GuestOptions {
  std::string root;
  std::vector<std::string> keys;       // SELECTOR:file:PATH
  std::vector<std::string> key_files;  // PATH
  std::string key_directory;
  std::string temporary_directory;
  int verbose = 0;
  bool quiet = false;
  bool no_progress = false;
};

// What it opens, as pipeline::open_inputs() takes it.
void add_inputs(CLI::App& app, std::vector<std::filesystem::path>& inputs);
void add_guest_options(CLI::App& app, GuestOptions& options);
// Throws os::Error (kUsage).
pipeline::Settings settings_of(const GuestOptions& options);
// of_manifest: the manifest's options.verbose, where 0 and 1 are normal.
Verbosity verbosity_of(const GuestOptions& options, int of_manifest);

}  // namespace hyper2kvm::cli
