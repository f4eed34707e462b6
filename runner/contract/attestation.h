// The in-toto statement of a conversion: which bytes went in, which came out, with what it was made, and what
// was changed in the guest. Sources: the in-toto Attestation Framework's Statement v1, SLSA Provenance v1,
// docs/provenance.md.
#pragma once

#include <chrono>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "runner/contract/manifest.h"
#include "runner/contract/report.h"

namespace hyper2kvm::contract {

// Beside the report: "report.json" has "report.intoto.json".
std::filesystem::path attestation_path(const std::filesystem::path& report_path);

// Of a conversion that has succeeded. Names of the subjects are relative to the report's directory where they
// are in it, so that `sha256sum --check` finds them there. What a manifest may hold of secrets (its
// `configuration`) is left out. report_sha256: of the report's file, 64 hex digits.
nlohmann::json make_statement(const Report& report, const Manifest& manifest,
                              const std::filesystem::path& report_path, const std::string& report_sha256,
                              std::chrono::system_clock::time_point finished);

// "file:///srv/a%20b.ova"; path must be absolute.
std::string file_uri(const std::filesystem::path& path);

}  // namespace hyper2kvm::contract
