// `hyper2kvm convert INPUT...`: runs one job to its end. Also the direct form `hyper2kvm MANIFEST`.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runner/cli/guest_options.h"
#include "runner/os/stop.h"
#include "runner/pipeline/pipeline.h"

namespace hyper2kvm::cli {

// What was written on the command line; empty is not written.
struct ConvertArguments {
  std::vector<std::filesystem::path> inputs;
  std::string output_directory;
  std::optional<contract::OutputFormat> output_format;
  std::vector<std::string> output_devices, output_files;  // "PATH" or "ID=PATH"
  std::string output_filename;
  bool compress = false;
  std::optional<contract::Compression> compression;
  std::optional<int> compress_level;
  std::string name;
  bool validate_boot = false;
  std::optional<std::uint32_t> boot_timeout;  // seconds
  bool attest = false;
  bool dry_run = false;
  bool no_fix = false;
  std::string overrides;  // JSON, contract/manifest_override.h
  std::string rate_limit;
  bool no_check_grains = false;
  std::string report;
  bool no_report = false;
  bool registers = false;
  std::string libvirt_uri, network, bridge, pool;
  bool autostart = false, start = false, overwrite = false;
  std::string termination_message;
  LogFormat log_format = LogFormat::kText;
  GuestOptions guest;
};

// Adds the options to a subcommand; arguments must outlive app.
void describe_convert(CLI::App& app, ConvertArguments& arguments);

// Refuses what can be refused before anything is read. Throws os::Error (kUsage).
void check(const ConvertArguments& arguments);
// The job with the command line's wishes over the manifest's. Throws os::Error (kUsage) for wishes that
// contradict each other or the job.
void apply(const ConvertArguments& arguments, pipeline::Job& job);
pipeline::Settings settings_of(const ConvertArguments& arguments);

// Returns the exit status of a job that ran to its end; throws os::Error for what prevented it. The error of
// a failed job has been said when this returns.
int run_convert(const ConvertArguments& arguments, const os::StopToken& stop);

}  // namespace hyper2kvm::cli
