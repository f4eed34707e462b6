// `hyper2kvm inspect`: everything that can be told of an input without changing anything. Source of the keys:
// docs/inspect.md.
#include <nlohmann/json.hpp>

#include "runner/appliance/appliance.h"
#include "runner/os/file.h"
#include "runner/pipeline/convert_and_fix.h"
#include "runner/pipeline/pipeline.h"
#include "runner/pipeline/record.h"
#include "runner/pipeline/verify.h"

namespace hyper2kvm::pipeline {

nlohmann::json inspect(const Job& job, const Settings& settings, contract::EventSink& events,
                       const os::StopToken& stop) {
  Job looked_at = job;
  contract::Manifest& manifest = looked_at.parsed.manifest;
  manifest.options.dry_run = true;
  manifest.pipeline.fix.enabled = true;
  manifest.pipeline.inspect.enabled = false;

  contract::Report report;
  Record record(report, events);
  Verified verified = verify(looked_at);
  nlohmann::json disks = nlohmann::json::array();
  for (std::size_t i = 0; i < verified.disks.size(); ++i) {
    const image::SourceImage& source = verified.disks[i].source;
    nlohmann::json files = nlohmann::json::array();
    for (const auto& file : source.files) files.push_back(file.string());
    disks.push_back({{"id", manifest.disks[i].id},
                     {"format", contract::to_string(source.format)},
                     {"virtual_size_bytes", source.virtual_size},
                     {"file_size_bytes", source.location.length},
                     {"files", std::move(files)},
                     {"boots", i == manifest.boot_disk()}});
  }
  nlohmann::json result = {{"input", looked_at.input.string()}, {"disks", std::move(disks)}};
  nlohmann::json written_out = contract::to_json(manifest);
  for (const char* key : {"source", "vm", "nics"})
    if (written_out.contains(key)) result[key] = written_out[key];

  os::TemporaryDirectory scratch("h2k", settings.temporary_directory);
  // An appliance that is missing says nothing about the input: it is our failure and not the guest's problem.
  appliance::find_installation();
  try {
    guest::Answer answer =
        look_only(looked_at, settings, verified, guest::Mode::kDryRun, scratch.path(), record, stop);
    result["guest"] = inspection_result(answer.inspection, true);
    result["edits"] = fix_result(answer)["edits"];
    for (const contract::BootFact& fact : answer.boot_facts)
      result["boot_facts"].push_back(contract::to_json(fact));
  } catch (const os::Error& error) {
    // A guest that cannot be repaired still has disks that can be told about.
    if (error.kind() != os::ErrorKind::kInvalid) throw;
    result["guest"] = nullptr;
    result["problem"] = error.sentence();
  }
  nlohmann::json warnings = nlohmann::json::array();
  for (const std::string& warning : job.parsed.warnings) warnings.push_back(warning);
  for (const contract::Notice& notice : report.warnings) warnings.push_back(notice.message);
  result["warnings"] = std::move(warnings);
  return result;
}

}  // namespace hyper2kvm::pipeline
