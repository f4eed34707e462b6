#include "runner/contract/manifest_override.h"

#include <nlohmann/json.hpp>

#include "runner/contract/text.h"
#include "runner/os/error.h"

namespace hyper2kvm::contract {

void override_manifest(ParsedManifest& parsed, std::string_view patch) {
  using nlohmann::json;
  const json wanted = json::parse(patch, nullptr, false);
  if (!wanted.is_object())
    throw os::Error(os::ErrorKind::kUsage, "--override", "is no JSON object",
                    R"(Write it like {"pipeline": {"fix": {"fstab_mode": "noop"}}}.)");
  for (const auto& [key, value] : wanted.items())
    if ((key != "vm" && key != "pipeline") || !value.is_object())
      throw os::Error(os::ErrorKind::kUsage, "--override",
                      "\"" + printable(key) + "\" is not one of the objects vm and pipeline",
                      "Only what a manifest says there can be overridden.");
  // What is not overridden takes no part.
  json document = {
      {"manifest_version", "1.0"},
      {"disks", {{{"id", "disk"}, {"source_format", "raw"}, {"bytes", 1}, {"local_path", "disk"}}}}};
  const json whole = to_json(parsed.manifest);
  for (const char* part : {"vm", "pipeline"})
    if (whole.contains(part)) document[part] = whole[part];
  document.merge_patch(wanted);
  ParsedManifest read =
      parse_manifest(document.dump(-1, ' ', false, json::error_handler_t::replace), "--override");
  parsed.manifest.vm = std::move(read.manifest.vm);
  parsed.manifest.pipeline = std::move(read.manifest.pipeline);
  parsed.manifest.has_pipeline = read.manifest.has_pipeline;
  // The manifest's own were known before.
  parsed.warnings.insert(parsed.warnings.end(), read.warnings.begin(), read.warnings.end());
}

}  // namespace hyper2kvm::contract
