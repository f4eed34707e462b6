// report.json: what came of a job. Written for failures too. Source: docs/report.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runner/contract/boot_report.h"
#include "runner/contract/machine_facts.h"
#include "runner/contract/manifest.h"

namespace hyper2kvm::contract {

struct StageResult {
  std::string name;  // verify, inspect, fix, convert, validate, boot, publish, register
  bool success = false;
  double duration_seconds = 0;
  nlohmann::json result;  // an object when success
  std::string error;      // the sentence when not
};

inline constexpr const char* kConvertedDisk = "converted_disk";
inline constexpr const char* kPlannedDisk = "planned_disk";  // of a dry run

struct Artifact {
  std::string type = kConvertedDisk;
  std::filesystem::path path;
  std::string disk_id;
  std::string format;
  std::uint64_t size_bytes = 0;          // of the file
  std::uint64_t virtual_size_bytes = 0;  // of the disk in it
  std::string checksum;                  // "sha256:..." or empty where it was not computed
  int boot_order_hint = 999;
  bool compressed = false;
};

// What was converted: a file, or a member of an OVA.
struct InputFile {
  std::string disk_id;
  std::filesystem::path path;
  std::uint64_t offset = 0;  // bytes, of a member of an OVA
  std::uint64_t size_bytes = 0;
  std::string checksum;  // "sha256:..." as it was read, or empty where it was not computed
};

struct Notice {
  std::string stage;
  std::string message;
  std::chrono::system_clock::time_point timestamp;
};

struct Report {
  std::chrono::system_clock::time_point timestamp;  // when the job began
  std::filesystem::path manifest_path;
  std::string manifest_version, source_provider, source_vm_id, source_vm_name;
  bool success = false;
  double duration_seconds = 0;
  std::vector<StageResult> stages;  // in the order in which they ended
  std::vector<InputFile> inputs;
  std::vector<Artifact> artifacts;
  std::vector<BootFact> boot_facts;          // where the guest was repaired
  std::optional<BootTrial> boot;             // where the machine was started
  std::map<std::string, std::string> tools;  // name to version, of the programs that took part
  std::vector<Notice> warnings;
  std::vector<Notice> errors;
  std::size_t input_disks = 0;
  std::optional<MachineFacts> machine;  // of a success
};

nlohmann::json to_json(const Report& report);
// Atomic; throws os::Error.
void write_report(const Report& report, const std::filesystem::path& path);

// "2026-01-31T23:59:59Z"
std::string rfc3339(std::chrono::system_clock::time_point time);
// "2026-01-31T23:59:59.123Z"
std::string rfc3339_milliseconds(std::chrono::system_clock::time_point time);
// Of an RFC 3339 time with any offset; nullopt where it is none or outside the years 1700-2200.
std::optional<std::chrono::system_clock::time_point> parse_rfc3339(std::string_view text);

}  // namespace hyper2kvm::contract
