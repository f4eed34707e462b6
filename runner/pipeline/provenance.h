// Where a conversion's disks come from, in the report and in the statement beside it (docs/provenance.md).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runner/contract/attestation.h"
#include "runner/image/rate_limiter.h"
#include "runner/pipeline/convert_and_fix.h"
#include "runner/pipeline/record.h"
#include "runner/pipeline/verify.h"

namespace hyper2kvm::pipeline {

// Records the versions of the programs that take part. A program that does not say its version is left out.
// Throws os::Error only when stopped.
void record_tools(const contract::Manifest& manifest, Record& record, const os::StopToken& stop);
// The same of one program; "unknown" where it does not say it.
std::string version_of(const std::string& program, const os::StopToken& stop);

// Records the files that were read, with their digests as far as the conversion has computed them (all of
// those, where a statement is wanted). limiter: may be null. Throws os::Error.
void record_inputs(const Job& job, const Verified& verified, const Converted& converted,
                   image::RateLimiter* limiter, Record& record, const os::StopToken& stop);

// Reads the outputs whose digest is still empty, where a statement is wanted. Throws os::Error.
void complete_checksums(const Job& job, const Converted& converted, std::vector<std::string>& checksums,
                        image::RateLimiter* limiter, const os::StopToken& stop);

// Writes the statement beside the report, which has been written. Throws os::Error.
void write_statement(const contract::Report& report, const contract::Manifest& manifest,
                     const std::filesystem::path& report_path);

}  // namespace hyper2kvm::pipeline
