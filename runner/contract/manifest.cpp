#include "runner/contract/manifest.h"

#include <algorithm>

#include "runner/contract/sections.h"
#include "runner/contract/text.h"
#include "runner/os/file.h"

namespace hyper2kvm::contract {
namespace {

// "1.N" or "1.N.N": a minor version only adds keys, and those that we do not know are warned about.
bool is_known_version(std::string_view version) {
  if (version.size() > 16 || version.substr(0, 2) != "1.") return false;
  version.remove_prefix(1);
  int numbers = 0;
  while (!version.empty()) {
    version.remove_prefix(1);  // the dot
    std::size_t end = std::min(version.find('.'), version.size());
    std::string_view digits = version.substr(0, end);
    if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos) return false;
    version.remove_prefix(end);
    ++numbers;
  }
  return numbers <= 2;
}

// Comes before all else: another version may mean anything by its keys.
std::string read_version(const Value& document, Reading& reading) {
  auto unreadable = [&](const std::string& problem, const std::string& advice) {
    return os::Error(os::ErrorKind::kUnreadable, reading.name, problem, advice);
  };
  const char* advice = "An Artifact Manifest is an object with manifest_version \"1.0\" and a list of disks.";
  if (document.kind != Value::Kind::kObject)
    throw unreadable("is " + describe(document) + " and no Artifact Manifest", advice);
  reading.known_keys.insert("manifest_version");
  const Value* version = document.find("manifest_version");
  if (version == nullptr) throw unreadable("has no manifest_version, so it is no Artifact Manifest", advice);
  const std::string* text = text_of(*version);
  if (text == nullptr)
    throw unreadable(
        "manifest_version: " + describe(*version) + " is not allowed; allowed: \"1.0\", in quotes", "");
  if (!is_known_version(*text))
    throw unreadable("manifest_version: " + describe(*version) + " is not allowed; allowed: \"1.0\"",
                     "This hyper2kvm reads version 1 of the Artifact Manifest.");
  return *text;
}

// What people and other programs keep for themselves: never a reason to refuse a job.
void read_metadata(Section& document) {
  const Value* metadata = document.find("metadata");
  if (metadata != nullptr && metadata->kind != Value::Kind::kObject)
    document.warn("metadata", describe(*metadata) + " is not an object, ignored");
}

void check_names(Section& document, const Manifest& manifest) {
  if (manifest.output.filename && manifest.disks.size() > 1)
    document.reading().warn("output.filename: ignored, because the machine has " +
                            std::to_string(manifest.disks.size()) + " disks; they are named after their ids");
  auto check_ids = [&](const char* list, const std::map<std::string, std::string>& places) {
    for (const auto& [id, place] : places)
      if (std::none_of(manifest.disks.begin(), manifest.disks.end(),
                       [&id = id](const Disk& disk) { return disk.id == id; }))
        document.refuse(list, "\"" + id + "\" is the id of no disk");
  };
  check_ids("output.devices", manifest.output.devices);
  check_ids("output.files", manifest.output.files);
  for (const auto& [id, file] : manifest.output.files)
    if (manifest.output.devices.count(id) != 0)
      document.refuse("output.files", "\"" + id + "\" has a place in output.devices too",
                      "Name one place for each disk.");
  if (!manifest.options.report_enabled) return;
  std::filesystem::path report = std::filesystem::path(manifest.options.report_path).lexically_normal();
  for (std::size_t disk = 0; disk < manifest.disks.size(); ++disk)
    if (report == published_name(manifest, disk) &&
        manifest.output.devices.count(manifest.disks[disk].id) == 0 &&
        manifest.output.files.count(manifest.disks[disk].id) == 0)
      document.refuse(
          "options.report.path",
          "\"" + report.string() + "\" is the name of the converted disk " + manifest.disks[disk].id + " too",
          "Give the report another name.");
}

}  // namespace

Manifest read_manifest(const Value& document, Reading& reading) {
  Manifest manifest;
  manifest.manifest_version = read_version(document, reading);
  Section section(document, "", "", reading);
  section.find("manifest_version");
  section.section("source", [&](Section& part) { manifest.source = read_source(part); });
  section.section("vm", [&](Section& part) { manifest.vm = read_vm(part); });
  manifest.disks = read_disks(section);
  manifest.nics = read_nics(section);
  manifest.notes = read_notes(section);
  manifest.warnings = read_warnings(section);
  read_metadata(section);
  manifest.has_pipeline = section.has("pipeline");
  section.section("pipeline", [&](Section& part) { manifest.pipeline = read_pipeline(part); });
  section.section("configuration", [&](Section& part) { manifest.configuration = read_configuration(part); });
  section.section("output", [&](Section& part) { manifest.output = read_output(part); });
  section.section("options", [&](Section& part) { manifest.options = read_options(part); });
  section.section("libvirt", [&](Section& part) { manifest.libvirt = read_libvirt(part); });
  section.finish();
  check_names(section, manifest);
  return manifest;
}

ParsedManifest parse_manifest(std::string_view text, std::string_view name) {
  Reading reading;
  reading.name = printable(name, 1024);
  ParsedManifest parsed;
  parsed.manifest = read_manifest(read_document(text, reading.name), reading);
  parsed.warnings = std::move(reading.warnings);
  return parsed;
}

ParsedManifest load_manifest(const std::filesystem::path& path) {
  std::string text;
  try {
    text = os::read_text(path, kMaximumDocumentBytes);
  } catch (const os::Error& error) {
    // A manifest that is not there or not for us is one that cannot be read; an I/O error may pass.
    if (error.kind() != os::ErrorKind::kInvalid) throw;
    throw os::Error(os::ErrorKind::kUnreadable, error.subject(), error.problem(), error.advice(),
                    error.errno_value());
  }
  ParsedManifest parsed = parse_manifest(text, path.string());
  std::error_code failure;
  parsed.path = std::filesystem::absolute(path, failure).lexically_normal();
  if (failure) throw os::system_error(failure.value(), "find the directory of", path.string());
  return parsed;
}

std::size_t Manifest::boot_disk() const {
  auto lowest = std::min_element(disks.begin(), disks.end(), [](const Disk& a, const Disk& b) {
    return a.boot_order_hint < b.boot_order_hint;
  });
  return lowest == disks.end() ? 0 : static_cast<std::size_t>(lowest - disks.begin());
}

std::filesystem::path resolve_path(const std::filesystem::path& manifest_path, std::string_view written) {
  std::filesystem::path path(written);
  if (path.is_absolute()) return path.lexically_normal();
  std::filesystem::path directory = manifest_path.parent_path();
  if (!directory.is_absolute()) {
    std::error_code failure;
    directory = std::filesystem::current_path(failure) / directory;
    if (failure) throw os::system_error(failure.value(), "find", "the current directory");
  }
  return (directory / path).lexically_normal();
}

std::filesystem::path output_directory(const ParsedManifest& parsed) {
  const std::string& written = parsed.manifest.output.directory;
  return resolve_path(parsed.path, written.empty() ? "output" : written);
}

std::string published_name(const Manifest& manifest, std::size_t disk) {
  if (manifest.output.filename && manifest.disks.size() == 1) return *manifest.output.filename;
  return manifest.disks.at(disk).id + "." + std::string(to_string(manifest.output.format));
}

}  // namespace hyper2kvm::contract
