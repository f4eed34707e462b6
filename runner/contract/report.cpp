#include "runner/contract/report.h"

#include <algorithm>

#include "runner/contract/version.h"
#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::contract {
namespace {

using nlohmann::json;

json notice_json(const Notice& notice) {
  return {{"stage", notice.stage}, {"message", notice.message}, {"timestamp", rfc3339(notice.timestamp)}};
}

json stage_json(const StageResult& stage) {
  json object = {{"success", stage.success}, {"duration", stage.duration_seconds}};
  if (!stage.success)
    object["error"] = stage.error;
  else
    object["result"] = stage.result.is_object() ? stage.result : json::object();
  return object;
}

json artifact_json(const Artifact& artifact) {
  json object = {{"type", artifact.type},
                 {"path", artifact.path.string()},
                 {"disk_id", artifact.disk_id},
                 {"format", artifact.format},
                 {"size_bytes", artifact.size_bytes},
                 {"virtual_size_bytes", artifact.virtual_size_bytes},
                 {"boot_order_hint", artifact.boot_order_hint},
                 {"compressed", artifact.compressed}};
  if (!artifact.checksum.empty()) object["checksum"] = artifact.checksum;
  return object;
}

json input_json(const InputFile& input) {
  json object = {{"disk_id", input.disk_id}, {"path", input.path.string()}, {"size_bytes", input.size_bytes}};
  if (input.offset != 0) object["offset"] = input.offset;
  if (!input.checksum.empty()) object["checksum"] = input.checksum;
  return object;
}

template <class Item, class Function>
json list_json(const std::vector<Item>& items, Function one) {
  json list = json::array();
  for (const Item& item : items) list.push_back(one(item));
  return list;
}

json summary_json(const Report& report) {
  auto successful = std::count_if(report.stages.begin(), report.stages.end(),
                                  [](const StageResult& stage) { return stage.success; });
  auto disks = std::count_if(report.artifacts.begin(), report.artifacts.end(),
                             [](const Artifact& artifact) { return artifact.type == kConvertedDisk; });
  return {{"total_stages", report.stages.size()},
          {"successful_stages", successful},
          {"failed_stages", static_cast<std::ptrdiff_t>(report.stages.size()) - successful},
          {"total_warnings", report.warnings.size()},
          {"total_errors", report.errors.size()},
          {"total_artifacts", report.artifacts.size()},
          {"input_disks", report.input_disks},
          {"output_disks", disks}};
}

}  // namespace

nlohmann::json to_json(const Report& report) {
  json stages = json::object();
  for (const StageResult& stage : report.stages) stages[stage.name] = stage_json(stage);
  json object = {
      {"version", "1.0"},
      {"timestamp", rfc3339(report.timestamp)},
      {"hyper2kvm_version", hyper2kvm_version()},
      {"input_manifest",
       {{"path", report.manifest_path.string()},
        {"manifest_version", report.manifest_version},
        {"source_provider", report.source_provider},
        {"source_vm_id", report.source_vm_id},
        {"source_vm_name", report.source_vm_name}}},
      {"pipeline",
       {{"success", report.success}, {"duration_seconds", report.duration_seconds}, {"stages", stages}}},
      {"artifacts", list_json(report.artifacts, artifact_json)},
      {"warnings", list_json(report.warnings, notice_json)},
      {"errors", list_json(report.errors, notice_json)},
      {"summary", summary_json(report)}};
  if (report.machine) object["machine"] = to_json(*report.machine);
  if (!report.inputs.empty()) object["inputs"] = list_json(report.inputs, input_json);
  if (!report.tools.empty()) object["tools"] = report.tools;
  if (!report.boot_facts.empty())
    object["boot_facts"] = list_json(report.boot_facts, [](const BootFact& fact) { return to_json(fact); });
  if (report.boot) object["boot"] = to_json(*report.boot);
  return object;
}

void write_report(const Report& report, const std::filesystem::path& path) {
  std::string text;
  try {
    // A file name or a guest's text may be no UTF-8; the report must be JSON all the same.
    text = to_json(report).dump(2, ' ', false, json::error_handler_t::replace) + "\n";
  } catch (const json::exception& error) {
    throw os::Error(os::ErrorKind::kInternal, path.string(),
                    std::string("the report cannot be written as JSON: ") + error.what());
  }
  os::write_text_atomically(path, text);
}

}  // namespace hyper2kvm::contract
