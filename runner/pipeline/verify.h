// The first stage: everything that can be refused is refused here, before anything is created.
#pragma once

#include <filesystem>
#include <vector>

#include "runner/image/rate_limiter.h"
#include "runner/image/source.h"
#include "runner/pipeline/pipeline.h"
#include "runner/pipeline/record.h"

namespace hyper2kvm::pipeline {

struct VerifiedDisk {
  image::SourceImage source;
  std::filesystem::path final_name;  // where it will be published
  bool is_device = false;            // final_name is a block device, which is written in place
};

struct Verified {
  std::filesystem::path output_directory;
  std::vector<VerifiedDisk> disks;  // in the manifest's order
};

// Where the report goes; empty when it is switched off. Throws os::Error when the place would be one of the
// inputs.
std::filesystem::path report_path_of(const Job& job);

// Checks paths, sizes, image headers and names. Throws os::Error.
Verified verify(const Job& job);

// Reads every disk that has a checksum and compares; for jobs that do not convert (a conversion checks in its
// one pass). limiter: may be null.
void verify_checksums(const Job& job, const Verified& verified, image::RateLimiter* limiter, Record& record,
                      const os::StopToken& stop);

}  // namespace hyper2kvm::pipeline
