#include "runner/contract/termination.h"

#include <algorithm>

#include "runner/contract/section.h"
#include "runner/contract/text.h"

namespace hyper2kvm::contract {
namespace {

using nlohmann::json;

constexpr std::size_t kErrorBytesThatStay = 256;
constexpr std::size_t kWarningBytes = 256;
constexpr std::size_t kMachineBytes = 1536;

std::string dump(const json& object) { return object.dump(-1, ' ', false, json::error_handler_t::replace); }

json disk_json(const Artifact& artifact) {
  return {{"disk_id", artifact.disk_id},
          {"path", artifact.path.string()},
          {"format", artifact.format},
          {"size_bytes", artifact.size_bytes},
          {"virtual_size_bytes", artifact.virtual_size_bytes},
          {"boot_order_hint", artifact.boot_order_hint}};
}

// What the stage `register` says of it.
std::string domain_of(const Report& report) {
  for (const StageResult& stage : report.stages)
    if (report.success && stage.name == "register" && stage.success && stage.result.contains("domain") &&
        stage.result["domain"].is_string())
      return stage.result["domain"].get<std::string>();
  return "";
}

bool fits(const json& object) { return dump(object).size() <= kTerminationMessageBytes; }

void cut_error(json& object, const std::string& error) {
  std::size_t limit = error.size();
  while (!fits(object) && limit > kErrorBytesThatStay) {
    limit = std::max(kErrorBytesThatStay, limit * 3 / 4);
    object["error"] = shortened(error, limit);
  }
}

}  // namespace

std::string to_termination_message(const Report& report, bool may_pass) {
  json object = {{"version", "1.0"},
                 {"success", report.success},
                 {"duration_seconds", report.duration_seconds},
                 {"manifest_path", printable(report.manifest_path.string(), 512)},
                 {"source_vm_name", printable(report.source_vm_name, kNameBytes)},
                 {"total_disks", report.artifacts.size()},
                 {"total_warnings", report.warnings.size()},
                 {"disks", json::array()},
                 {"warnings", json::array()}};
  // Disks that would be made must not be taken for disks that are there.
  if (std::any_of(report.artifacts.begin(), report.artifacts.end(),
                  [](const Artifact& artifact) { return artifact.type == kPlannedDisk; }))
    object["dry_run"] = true;
  std::string error;
  if (!report.success) {
    if (!report.errors.empty()) {
      error = printable(report.errors.front().message, kTerminationMessageBytes);
      std::string stage = printable(report.errors.front().stage, kNameBytes);
      if (!stage.empty()) object["failed_stage"] = stage;
    }
    object["error"] = error;
    object["may_pass"] = may_pass;
  }
  if (report.machine) object["machine"] = to_json(*report.machine, kMachineBytes);
  if (std::string domain = domain_of(report); !domain.empty())
    object["domain"] = printable(domain, kNameBytes);
  for (const Artifact& artifact : report.artifacts) object["disks"].push_back(disk_json(artifact));
  cut_error(object, error);
  while (!fits(object) && !object["disks"].empty()) object["disks"].erase(object["disks"].size() - 1);
  for (const Notice& warning : report.warnings) {
    object["warnings"].push_back(printable(warning.message, kWarningBytes));
    if (fits(object)) continue;
    object["warnings"].erase(object["warnings"].size() - 1);
    break;
  }
  return dump(object);
}

TerminationResult parse_termination_message(std::string_view text) {
  const char* name = "termination message";
  const Value document = read_message(text, name, kTerminationMessageBytes);
  Reading reading;
  reading.name = name;
  Section section(document, "", "", reading);
  auto count = [](Section& part, const char* key) {
    return static_cast<std::uint64_t>(part.integer(key, 0, INT64_MAX).value_or(0));
  };
  TerminationResult result;
  section.require("success");
  result.success = section.boolean("success", false);
  result.duration_seconds = section.real("duration_seconds").value_or(0);
  result.failed_stage = section.line("failed_stage");
  result.error = section.line("error");
  result.may_pass = section.boolean("may_pass", false);
  result.manifest_path = section.line("manifest_path");
  result.source_vm_name = section.line("source_vm_name");
  result.dry_run = section.boolean("dry_run", false);
  result.domain = section.line("domain");
  result.total_disks = count(section, "total_disks");
  result.total_warnings = count(section, "total_warnings");
  section.each("disks", kTerminationMessageBytes,
               [&](const Value& item, const std::string& path, const std::string& pattern) {
                 Section disk(item, path, pattern, reading);
                 TerminationResult::Disk& read = result.disks.emplace_back();
                 read.disk_id = disk.line("disk_id");
                 read.path = disk.line("path");
                 read.format = disk.line("format");
                 read.size_bytes = count(disk, "size_bytes");
                 read.virtual_size_bytes = count(disk, "virtual_size_bytes");
                 read.boot_order_hint =
                     static_cast<int>(disk.integer("boot_order_hint", 0, INT32_MAX).value_or(999));
               });
  section.section("machine", [&](Section& part) { result.machine = read_machine_facts(part); });
  result.warnings = section.lines("warnings", kTerminationMessageBytes, kLineBytes);
  return result;
}

}  // namespace hyper2kvm::contract
