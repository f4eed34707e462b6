#include "runner/cli/guest_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <system_error>

#include "runner/os/error.h"

namespace hyper2kvm::cli {
namespace {

// "UUID:file:PATH", the form that virt-v2v has. Its other form, "UUID:key:PASSPHRASE", would show the
// passphrase to everybody who can list processes.
pipeline::KeyFile parse_key(const std::string& text) {
  auto refuse = [](const std::string& problem) {
    return os::Error(os::ErrorKind::kUsage, "--key", problem,
                     "Write --key UUID:file:PATH, or --key all:file:PATH to try it on every volume.");
  };
  std::size_t first = text.find(':');
  std::size_t second = first == std::string::npos ? first : text.find(':', first + 1);
  if (second == std::string::npos) throw refuse("the value has not the form UUID:file:PATH");
  std::string selector = text.substr(0, first);
  std::string kind = text.substr(first + 1, second - first - 1);
  if (kind != "file") throw refuse("a secret is never taken from the command line, where others can read it");
  pipeline::KeyFile key;
  key.device = selector == "all" ? "" : selector;
  key.path = text.substr(second + 1);
  if (selector.empty() || key.path.empty()) throw refuse("the value has not the form UUID:file:PATH");
  return key;
}

bool is_uuid(const std::string& name) {
  return name.size() == 36 && std::all_of(name.begin(), name.end(),
                                          [](unsigned char c) { return std::isxdigit(c) != 0 || c == '-'; });
}

// Every file of the directory, as a mounted Secret of Kubernetes is one: its keys are links, and what begins
// with a dot is not a key. A file that is named by a volume's UUID is for that volume alone.
std::vector<pipeline::KeyFile> keys_in(const std::string& directory) {
  std::vector<pipeline::KeyFile> keys;
  std::error_code failure;
  for (std::filesystem::directory_iterator entry(directory, failure), end; !failure && entry != end;
       entry.increment(failure)) {
    std::string name = entry->path().filename();
    std::error_code ignored;
    if (name.starts_with('.') || !entry->is_regular_file(ignored)) continue;
    keys.push_back({is_uuid(name) ? name : "", entry->path()});
  }
  if (failure)
    throw os::Error(os::ErrorKind::kUsage, directory,
                    "cannot be read as a directory of keys: " + failure.message(),
                    "Name a directory with a file for each key.");
  std::sort(keys.begin(), keys.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return keys;
}

}  // namespace

void add_inputs(CLI::App& app, std::vector<std::filesystem::path>& inputs) {
  app.add_option("INPUT", inputs,
                 "An Artifact Manifest (JSON or YAML), an OVA, an OVF, or the machine's disks in order")
      ->required()
      ->type_name("");
}

void add_guest_options(CLI::App& app, GuestOptions& options) {
  app.add_option("--root", options.root,
                 "The guest's root file system, where it has several (inspect lists them)")
      ->type_name("DEVICE");
  app.add_option("--key", options.keys, "Key file of one encrypted volume, UUID:file:PATH; may be repeated")
      ->type_name("UUID:file:PATH")
      ->allow_extra_args(false);
  app.add_option("--key-file", options.key_files,
                 "Key file or passphrase to try on every encrypted volume; may be repeated")
      ->type_name("PATH")
      ->allow_extra_args(false);
  app.add_option("--key-directory", options.key_directory,
                 "Directory of key files; one that is named by a volume's UUID is for that volume")
      ->type_name("DIR");
  app.add_option("--temp-dir", options.temporary_directory, "For temporary files; else $TMPDIR or /tmp")
      ->type_name("DIR");
  app.add_flag("-v,--verbose", options.verbose, "Say what each stage does; twice says everything");
  app.add_flag("-q,--quiet", options.quiet, "Say nothing but why it failed");
  app.add_flag("--no-progress", options.no_progress, "No progress line on a terminal");
}

pipeline::Settings settings_of(const GuestOptions& options) {
  pipeline::Settings settings;
  settings.guest_root = options.root;
  for (const std::string& key : options.keys) settings.keys.push_back(parse_key(key));
  for (const std::string& path : options.key_files) settings.keys.push_back({"", path});
  if (!options.key_directory.empty())
    for (pipeline::KeyFile& key : keys_in(options.key_directory)) settings.keys.push_back(std::move(key));
  if (!options.temporary_directory.empty())
    settings.temporary_directory = std::filesystem::absolute(options.temporary_directory);
  return settings;
}

Verbosity verbosity_of(const GuestOptions& options, int of_manifest) {
  if (options.quiet) return Verbosity::kQuiet;
  int level = std::max({1, of_manifest, options.verbose == 0 ? 0 : options.verbose + 1});
  return static_cast<Verbosity>(std::min(level, static_cast<int>(Verbosity::kDebug)));
}

}  // namespace hyper2kvm::cli
