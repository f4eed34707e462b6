// The manifest that the engine is given: the submitted one, with what the instance's configuration adds.
//
// The configuration supplies what the manifest leaves at its default; what a manifest asks for wins, but for
// the place of the results, which is the instance's OUTPUT_DIR. Pure functions.
#pragma once

#include <cstdint>
#include <filesystem>

#include "runner/contract/manifest.h"
#include "runner/daemon/job.h"
#include "runner/daemon/settings.h"

namespace hyper2kvm::daemon {

// Where the engine publishes a machine's disks and its report: OUTPUT_DIR/machines/NAME. A folder of its own,
// because every machine's first disk has the same name.
std::filesystem::path machine_directory(const Settings& settings, const Job& job);

contract::Manifest engine_manifest(const contract::ParsedManifest& submitted, const Job& job,
                                   const Settings& settings);

// Bytes that the results of this job may take up. An estimate from what is known without opening a disk:
// a compressed or sparse result is about as large as its source, with a reserve.
std::uint64_t estimated_output_bytes(const Job& job);

}  // namespace hyper2kvm::daemon
