#include "runner/contract/manifest_override.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "runner/contract/text.h"
#include "runner/os/error.h"

namespace hyper2kvm::contract {
namespace {

constexpr std::array<std::string_view, 3> kParts{"vm", "pipeline", "libvirt"};

}  // namespace

void override_manifest(ParsedManifest& parsed, std::string_view patch) {
  using nlohmann::json;
  const json wanted = json::parse(patch, nullptr, false);
  if (!wanted.is_object())
    throw os::Error(os::ErrorKind::kUsage, "--override", "is no JSON object",
                    R"(Write it like {"pipeline": {"fix": {"fstab_mode": "noop"}}}.)");
  for (const auto& [key, value] : wanted.items())
    if (std::ranges::find(kParts, key) == kParts.end() || !value.is_object())
      throw os::Error(os::ErrorKind::kUsage, "--override",
                      "\"" + printable(key) + "\" is not one of the objects vm, pipeline and libvirt",
                      "Only what a manifest says there can be overridden.");
  // What is not overridden takes no part.
  json document = {
      {"manifest_version", "1.0"},
      {"disks", {{{"id", "disk"}, {"source_format", "raw"}, {"bytes", 1}, {"local_path", "disk"}}}}};
  const json whole = to_json(parsed.manifest);
  for (std::string_view part : kParts)
    if (whole.contains(part)) document[std::string(part)] = whole[std::string(part)];
  document.merge_patch(wanted);
  ParsedManifest read =
      parse_manifest(document.dump(-1, ' ', false, json::error_handler_t::replace), "--override");
  parsed.manifest.vm = std::move(read.manifest.vm);
  parsed.manifest.pipeline = std::move(read.manifest.pipeline);
  parsed.manifest.libvirt = std::move(read.manifest.libvirt);
  parsed.manifest.has_pipeline = read.manifest.has_pipeline;
  // The manifest's own were known before.
  parsed.warnings.insert(parsed.warnings.end(), read.warnings.begin(), read.warnings.end());
}

}  // namespace hyper2kvm::contract
