#include "runner/cli/convert.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "runner/cli/amounts.h"
#include "runner/cli/edits_text.h"
#include "runner/cli/termination_file.h"
#include "runner/contract/manifest_override.h"
#include "runner/contract/text.h"
#include "runner/os/error.h"

namespace hyper2kvm::cli {
namespace {

namespace fs = std::filesystem;
using os::Error;
using os::ErrorKind;

const std::map<std::string, contract::OutputFormat> kFormats{{"qcow2", contract::OutputFormat::kQcow2},
                                                             {"raw", contract::OutputFormat::kRaw},
                                                             {"vdi", contract::OutputFormat::kVdi}};
const std::map<std::string, contract::Compression> kCompressions{{"deflate", contract::Compression::kDeflate},
                                                                 {"zstd", contract::Compression::kZstd}};
const std::map<std::string, LogFormat> kLogFormats{{"text", LogFormat::kText}, {"json", LogFormat::kJson}};

constexpr const char* kExamples = R"(
Examples:
  hyper2kvm convert web01.ova -o /var/lib/libvirt/images
      An OVA to qcow2, repaired so that it boots on virtio.
  hyper2kvm convert web01.ova -o /srv/images --register --start
      The same, then defined in libvirt and started.
  hyper2kvm convert disk1.vmdk disk2.vmdk --name web01 -O raw -o out
      Disks in order; the first one boots.
  hyper2kvm convert web01.ova --dry-run
      What would be changed in the guest, as diffs. Nothing is written.
  hyper2kvm convert artifact-manifest.json -v
      A job as an Artifact Manifest, JSON or YAML.)";

// Without an id the places are for the machine's disks in order.
std::map<std::string, std::string> places_of(const std::string& option, const std::vector<std::string>& given,
                                             const contract::Manifest& manifest) {
  std::map<std::string, std::string> places;
  std::size_t next = 0;
  for (const std::string& written : given) {
    const std::size_t equals = written.front() == '/' ? std::string::npos : written.find('=');
    std::string id;
    std::string path = written;
    if (equals != std::string::npos) {
      id = written.substr(0, equals);
      path = written.substr(equals + 1);
      if (std::none_of(manifest.disks.begin(), manifest.disks.end(),
                       [&](const contract::Disk& disk) { return disk.id == id; }))
        throw Error(ErrorKind::kUsage, option, "\"" + id + "\" is the id of no disk",
                    "Give the id of one of the machine's disks, or only the path.");
    } else {
      if (next >= manifest.disks.size())
        throw Error(ErrorKind::kUsage, option,
                    "is given more often than the machine has disks (" + std::to_string(next) + ")",
                    "Give it once a disk.");
      id = manifest.disks[next++].id;
    }
    if (path.empty() || !places.emplace(id, fs::absolute(path).string()).second)
      throw Error(ErrorKind::kUsage, option, "gives the disk " + id + " two places or none",
                  "Give each disk one place.");
  }
  return places;
}

void apply_places(const ConvertArguments& arguments, contract::Manifest& manifest) {
  contract::Output& output = manifest.output;
  if (!arguments.output_devices.empty()) {
    if (arguments.output_format && *arguments.output_format != contract::OutputFormat::kRaw)
      throw Error(ErrorKind::kUsage, "--output-device", "is given together with another format than raw",
                  "Choose -O raw, or leave the format out.");
    output.format = contract::OutputFormat::kRaw;
    output.devices = places_of("--output-device", arguments.output_devices, manifest);
  }
  if (!arguments.output_files.empty())
    output.files = places_of("--output-file", arguments.output_files, manifest);
  for (const auto& [id, file] : output.files)
    if (output.devices.count(id) != 0)
      throw Error(ErrorKind::kUsage, "--output-file", "the disk " + id + " goes to a block device",
                  "Give each disk one place.");
  if (!output.devices.empty() && output.format != contract::OutputFormat::kRaw)
    throw Error(ErrorKind::kUsage, "--output-format",
                "the manifest names a block device, which can hold a raw disk only",
                "Choose -O raw, or leave the format out.");
}

void apply_libvirt(const ConvertArguments& arguments, contract::Manifest& manifest) {
  contract::Libvirt libvirt = manifest.libvirt.value_or(contract::Libvirt{});
  libvirt.enabled = libvirt.enabled || arguments.registers;
  bool has_wishes = !arguments.libvirt_uri.empty() || !arguments.network.empty() ||
                    !arguments.bridge.empty() || !arguments.pool.empty() || arguments.autostart ||
                    arguments.start || arguments.overwrite;
  if (has_wishes && !libvirt.enabled)
    throw Error(ErrorKind::kUsage, "", "options of libvirt are given, but nothing is to be registered",
                "Add --register.");
  if (!libvirt.enabled) return;
  if (!arguments.libvirt_uri.empty()) libvirt.uri = arguments.libvirt_uri;
  if (!arguments.pool.empty()) libvirt.pool = arguments.pool;
  if (libvirt.name.empty()) libvirt.name = arguments.name;
  // One of the two on the command line takes the place of either in the manifest.
  if (!arguments.network.empty() || !arguments.bridge.empty()) {
    libvirt.network = arguments.network;
    libvirt.bridge = arguments.bridge;
  }
  libvirt.autostart = libvirt.autostart || arguments.autostart;
  libvirt.start = libvirt.start || arguments.start;
  libvirt.overwrite = libvirt.overwrite || arguments.overwrite;
  manifest.libvirt = libvirt;
}

// What a job that could not even be opened leaves behind.
contract::Report report_of(const ConvertArguments& arguments, const Error& error) {
  contract::Report report;
  report.timestamp = std::chrono::system_clock::now();
  if (!arguments.inputs.empty()) report.manifest_path = arguments.inputs[0];
  report.errors.push_back({"", error.sentence(), report.timestamp});
  return report;
}

void say_termination(const ConvertArguments& arguments, const contract::Report& report, bool may_pass) {
  if (!arguments.termination_message.empty())
    write_termination_file(report, arguments.termination_message, may_pass);
}

std::string edits_of(const contract::Report& report) {
  for (const contract::StageResult& stage : report.stages)
    if (stage.name == "fix" && stage.success && stage.result.contains("edits"))
      return edits_text(stage.result["edits"]);
  return "";
}

// What a person reads on stdout when the job has succeeded.
std::string success_text(const pipeline::Outcome& outcome, bool dry_run) {
  std::string text;
  if (dry_run) {
    std::string edits = edits_of(outcome.report);
    text += edits.empty() ? "No file of the guest would be changed.\n"
                          : "Would be changed in the guest:\n" + edits;
  }
  if (!outcome.boot_disk.empty()) text += "Output: " + outcome.boot_disk.string() + "\n";
  if (!outcome.report_path.empty()) text += "Report: " + outcome.report_path.string() + "\n";
  return text;
}

}  // namespace

void describe_convert(CLI::App& app, ConvertArguments& arguments) {
  const CLI::Validator not_empty(
      [](std::string& text) { return text.empty() ? std::string("is empty") : std::string(); }, "");
  app.description("Convert a machine's disks, repair the guest, and register the machine with libvirt.");
  app.footer(kExamples);
  add_inputs(app, arguments.inputs);
  app.add_option("-o,--output", arguments.output_directory,
                 "Output directory; else the manifest's, or the current directory")
      ->type_name("DIR");
  app.add_option_function<std::string>(
         "-O,--output-format",
         [&arguments](const std::string& word) { arguments.output_format = kFormats.at(word); },
         "Format of the converted disks: qcow2, raw or vdi")
      ->type_name("FORMAT")
      ->check(CLI::IsMember(kFormats).description(""));
  app.add_option(
         "--output-device", arguments.output_devices,
         "Existing block device to write a disk to, raw; for the disks in order, or ID=PATH. What is on it "
         "is lost")
      ->type_name("[ID=]PATH")
      ->take_all()
      ->expected(1)
      ->check(not_empty);
  app.add_option("--output-file", arguments.output_files,
                 "File that a disk is published as, in an existing directory; for the disks in order, or "
                 "ID=PATH. Else a name in the output directory")
      ->type_name("[ID=]PATH")
      ->take_all()
      ->expected(1)
      ->check(not_empty);
  app.add_option("--output-filename", arguments.output_filename,
                 "File name of the converted disk, for a machine with one disk; else its id and format")
      ->type_name("NAME");
  app.add_flag("-c,--compress", arguments.compress, "Compress the converted disks (qcow2)");
  app.add_option_function<std::string>(
         "--compression",
         [&arguments](const std::string& word) { arguments.compression = kCompressions.at(word); },
         "deflate (every QEMU reads it) or zstd (QEMU 5.1); implies --compress")
      ->type_name("METHOD")
      ->check(CLI::IsMember(kCompressions).description(""));
  app.add_option_function<int>(
         "--compress-level", [&arguments](const int& level) { arguments.compress_level = level; },
         "1 (fast) to 9 (small), for what is compressed anew; implies --compress")
      ->type_name("LEVEL")
      ->check(CLI::Range(1, 9).description(""));
  app.add_option("--name", arguments.name, "Name of the machine; else the one it had")->type_name("NAME");
  app.add_flag("--no-fix", arguments.no_fix, "Only convert: the guest is neither opened nor changed");
  app.add_option("--override", arguments.overrides,
                 "What goes over the input's own vm, pipeline and libvirt: JSON, in the manifest's words")
      ->type_name("JSON");
  app.add_flag("--dry-run", arguments.dry_run, "Change nothing anywhere, show what would be done");
  app.add_flag("--no-check-grains", arguments.no_check_grains,
               "Do not check the checksum of each grain of a streamOptimized VMDK");
  app.add_option("--rate-limit", arguments.rate_limit,
                 "Read and write at most this much a second in all, such as 200M")
      ->type_name("SIZE");
  app.add_flag("--validate-boot", arguments.validate_boot,
               "Start the converted machine, and publish its disks only if it comes up");
  app.add_option_function<std::uint32_t>(
         "--boot-timeout", [&arguments](const std::uint32_t& seconds) { arguments.boot_timeout = seconds; },
         "How long that may take; else 600; implies --validate-boot")
      ->type_name("SECONDS")
      ->check(CLI::Range(10, 86400).description(""));
  app.add_flag("--attest", arguments.attest,
               "Write an in-toto statement beside the report: what went in, what came out, what was changed");
  app.add_option("--report", arguments.report,
                 "Where the report goes; else report.json in the output directory")
      ->type_name("PATH");
  app.add_flag("--no-report", arguments.no_report, "Write no report");
  app.add_flag("--register", arguments.registers, "Register the machine with libvirt");
  app.add_option("--libvirt-uri", arguments.libvirt_uri, "libvirt to register with; else qemu:///system")
      ->type_name("URI");
  app.add_option("--network", arguments.network, "libvirt network of the machine's interfaces")
      ->type_name("NAME");
  app.add_option("--bridge", arguments.bridge, "Host bridge of the machine's interfaces")->type_name("NAME");
  app.add_option("--pool", arguments.pool, "libvirt storage pool to put the disks into")->type_name("NAME");
  app.add_flag("--start", arguments.start, "Start the registered machine");
  app.add_flag("--autostart", arguments.autostart, "Start the registered machine with the host");
  app.add_flag("--overwrite", arguments.overwrite, "Replace a machine of that name that is not running");
  app.add_option_function<std::string>(
         "--log-format",
         [&arguments](const std::string& word) { arguments.log_format = kLogFormats.at(word); },
         "text, or json: one event a line on stdout and nothing else")
      ->type_name("FORMAT")
      ->check(CLI::IsMember(kLogFormats).description(""));
  app.add_option("--termination-message", arguments.termination_message,
                 "Write a short result for Kubernetes, at most 4096 bytes")
      ->type_name("PATH");
  add_guest_options(app, arguments.guest);
}

void check(const ConvertArguments& arguments) {
  auto exclude = [](bool one, bool other, const char* first, const char* second) {
    if (one && other)
      throw Error(ErrorKind::kUsage, first, "is given together with " + std::string(second),
                  "Give one of the two.");
  };
  exclude(!arguments.network.empty(), !arguments.bridge.empty(), "--network", "--bridge");
  exclude(!arguments.report.empty(), arguments.no_report, "--report", "--no-report");
  exclude(arguments.attest, arguments.no_report, "--attest", "--no-report");
  exclude(arguments.guest.quiet, arguments.guest.verbose > 0, "--quiet", "--verbose");
  settings_of(arguments);
}

void apply(const ConvertArguments& arguments, pipeline::Job& job) {
  // The name goes over both of the input's own; what is overridden may name the domain apart.
  if (!arguments.name.empty() && job.parsed.manifest.libvirt) job.parsed.manifest.libvirt->name.clear();
  if (!arguments.overrides.empty()) contract::override_manifest(job.parsed, arguments.overrides);
  contract::Manifest& manifest = job.parsed.manifest;
  if (!arguments.output_directory.empty())
    manifest.output.directory = fs::absolute(arguments.output_directory).string();
  if (arguments.output_format) manifest.output.format = *arguments.output_format;
  if (!arguments.output_filename.empty()) {
    if (arguments.output_filename.find('/') != std::string::npos || arguments.output_filename == "." ||
        arguments.output_filename == "..")
      throw Error(ErrorKind::kUsage, "--output-filename",
                  "\"" + arguments.output_filename + "\" is no plain file name",
                  "Name the directory with --output.");
    manifest.output.filename = arguments.output_filename;
  }
  apply_places(arguments, manifest);
  if (arguments.compress || arguments.compress_level || arguments.compression) {
    if (manifest.output.format != contract::OutputFormat::kQcow2)
      throw Error(ErrorKind::kUsage, "--compress",
                  "an image of the format " + std::string(contract::to_string(manifest.output.format)) +
                      " cannot be compressed",
                  "Choose -O qcow2, or leave --compress out.");
    manifest.pipeline.convert.compress = true;
  }
  if (arguments.compression) manifest.pipeline.convert.compression = *arguments.compression;
  if (arguments.compress_level) manifest.pipeline.convert.compress_level = arguments.compress_level;
  if (!arguments.name.empty()) manifest.source.vm_name = arguments.name;
  if (arguments.no_fix) {
    manifest.pipeline.fix.enabled = false;
    manifest.pipeline.inspect.enabled = false;
  }
  if (arguments.validate_boot || arguments.boot_timeout) manifest.pipeline.validate.boot.enabled = true;
  if (arguments.boot_timeout) manifest.pipeline.validate.boot.timeout_seconds = *arguments.boot_timeout;
  if (arguments.attest) manifest.options.attest = true;
  if (arguments.dry_run) manifest.options.dry_run = true;
  if (!arguments.report.empty()) {
    manifest.options.report_enabled = true;
    manifest.options.report_path = fs::absolute(arguments.report).string();
  }
  if (arguments.no_report) manifest.options.report_enabled = false;
  manifest.options.verbose = std::max(
      manifest.options.verbose, static_cast<int>(verbosity_of(arguments.guest, manifest.options.verbose)));
  apply_libvirt(arguments, manifest);
}

pipeline::Settings settings_of(const ConvertArguments& arguments) {
  pipeline::Settings settings = settings_of(arguments.guest);
  settings.check_grains = !arguments.no_check_grains;
  if (!arguments.rate_limit.empty()) settings.rate_limit = parse_size(arguments.rate_limit, "--rate-limit");
  return settings;
}

int run_convert(const ConvertArguments& arguments, const os::StopToken& stop) {
  pipeline::Settings settings;
  pipeline::Job job;
  try {
    settings = settings_of(arguments);
    job = pipeline::open_inputs(arguments.inputs);
    apply(arguments, job);
  } catch (const Error& error) {
    if (arguments.log_format == LogFormat::kJson)
      make_sink(LogFormat::kJson, Verbosity::kNormal, false)
          ->emit({.kind = contract::Event::Kind::kResult,
                  .severity = contract::Severity::kError,
                  .message = error.sentence(),
                  .may_pass = error.may_pass()});
    say_termination(arguments, report_of(arguments, error), error.may_pass());
    throw;
  }
  Verbosity verbosity = verbosity_of(arguments.guest, job.parsed.manifest.options.verbose);
  // What would be done is all that a rehearsal is for.
  if (job.parsed.manifest.options.dry_run && verbosity == Verbosity::kNormal) verbosity = Verbosity::kVerbose;
  pipeline::Outcome outcome;
  {
    // The progress line is gone when the sink is, before anything else is said.
    auto sink = make_sink(arguments.log_format, verbosity, !arguments.guest.no_progress);
    outcome = pipeline::run(job, settings, *sink, stop);
  }
  say_termination(arguments, outcome.report, outcome.may_pass);
  if (outcome.exit_status != 0) {
    std::string sentence =
        outcome.report.errors.empty() ? "the job failed" : outcome.report.errors[0].message;
    write_to(STDERR_FILENO, "hyper2kvm: " + contract::printable(sentence, 16384) + "\n");
  } else if (arguments.log_format == LogFormat::kText && verbosity > Verbosity::kQuiet) {
    write_to(STDOUT_FILENO, success_text(outcome, job.parsed.manifest.options.dry_run));
  }
  return outcome.exit_status;
}

}  // namespace hyper2kvm::cli
