#include "runner/contract/attestation.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runner/contract/version.h"

namespace hyper2kvm::contract {
namespace {

using nlohmann::json;

// A digest of the report's form, "sha256:...", as in-toto has it.
json digest_of(const std::string& checksum) {
  constexpr std::string_view kPrefix = "sha256:";
  return {{"sha256", checksum.substr(std::min(checksum.size(), kPrefix.size()))}};
}

std::string name_below(const std::filesystem::path& path, const std::filesystem::path& directory) {
  std::filesystem::path relative = path.lexically_normal().lexically_relative(directory.lexically_normal());
  if (relative.empty() || *relative.begin() == "..") return path.string();
  return relative.string();
}

json subjects_of(const Report& report, const std::filesystem::path& directory) {
  json subjects = json::array();
  for (const Artifact& artifact : report.artifacts)
    if (!artifact.checksum.empty())
      subjects.push_back({{"name", name_below(artifact.path, directory)},
                          {"digest", digest_of(artifact.checksum)},
                          {"annotations",
                           {{"disk_id", artifact.disk_id},
                            {"format", artifact.format},
                            {"virtual_size_bytes", artifact.virtual_size_bytes}}}});
  return subjects;
}

json dependencies_of(const Report& report) {
  json inputs = json::array();
  for (const InputFile& input : report.inputs) {
    json entry = {{"name", input.disk_id},
                  {"uri", file_uri(input.path)},
                  {"annotations", {{"offset", input.offset}, {"size_bytes", input.size_bytes}}}};
    if (!input.checksum.empty()) entry["digest"] = digest_of(input.checksum);
    inputs.push_back(std::move(entry));
  }
  return inputs;
}

// Every edit of the guest, without its diff: that is in the report, and may hold what is nobody's business.
json edits_of(const Report& report) {
  json edits = json::array();
  for (const StageResult& stage : report.stages) {
    if (stage.name != "fix" || !stage.result.is_object() || !stage.result.contains("edits")) continue;
    for (const json& edit : stage.result["edits"]) {
      json short_form = json::object();
      for (const char* key : {"path", "action", "reason", "summary"})
        if (edit.is_object() && edit.contains(key)) short_form[key] = edit[key];
      edits.push_back(std::move(short_form));
    }
  }
  return edits;
}

json parameters_of(const Manifest& manifest) {
  json whole = to_json(manifest);
  json parameters = {{"manifest_version", manifest.manifest_version},
                     {"format", to_string(manifest.output.format)}};
  for (const char* key : {"source", "vm", "nics", "pipeline"})
    if (whole.contains(key)) parameters[key] = whole[key];
  return parameters;
}

}  // namespace

std::filesystem::path attestation_path(const std::filesystem::path& report_path) {
  return report_path.parent_path() / (report_path.stem().string() + ".intoto.json");
}

std::string file_uri(const std::filesystem::path& path) {
  constexpr std::string_view kPlain = "-._~/";
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string uri = "file://";
  for (char c : path.string()) {
    bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    kPlain.find(c) != std::string_view::npos;
    if (is_plain) {
      uri += c;
      continue;
    }
    auto byte = static_cast<unsigned char>(c);
    uri += '%';
    uri += kDigits[byte >> 4];
    uri += kDigits[byte & 15];
  }
  return uri;
}

json make_statement(const Report& report, const Manifest& manifest, const std::filesystem::path& report_path,
                    const std::string& report_sha256, std::chrono::system_clock::time_point finished) {
  json versions = report.tools;
  versions["hyper2kvm"] = hyper2kvm_version();
  json internal = {{"guest_edits", edits_of(report)}};
  if (report.machine) internal["machine"] = to_json(*report.machine);
  if (!report.boot_facts.empty()) {
    internal["boot_facts"] = json::array();
    for (const BootFact& fact : report.boot_facts) internal["boot_facts"].push_back(to_json(fact));
  }
  if (report.boot) internal["boot"] = {{"up", report.boot->up}, {"sign", report.boot->sign}};
  return {{"_type", "https://in-toto.io/Statement/v1"},
          {"subject", subjects_of(report, report_path.parent_path())},
          {"predicateType", "https://slsa.dev/provenance/v1"},
          {"predicate",
           {{"buildDefinition",
             {{"buildType", "https://hyper2kvm.io/conversion/v1"},
              {"externalParameters", parameters_of(manifest)},
              {"internalParameters", std::move(internal)},
              {"resolvedDependencies", dependencies_of(report)}}},
            {"runDetails",
             {{"builder", {{"id", "https://hyper2kvm.io/runner/v1"}, {"version", std::move(versions)}}},
              {"metadata", {{"startedOn", rfc3339(report.timestamp)}, {"finishedOn", rfc3339(finished)}}},
              {"byproducts", json::array({{{"name", name_below(report_path, report_path.parent_path())},
                                           {"digest", {{"sha256", report_sha256}}}}})}}}}}};
}

}  // namespace hyper2kvm::contract
