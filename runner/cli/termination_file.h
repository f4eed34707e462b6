// The short result that a container leaves for Kubernetes (terminationMessagePath).
#pragma once

#include <filesystem>

#include "runner/contract/report.h"

namespace hyper2kvm::cli {

// Overwrites the file in place, because Kubernetes mounts it as one file that cannot be renamed over; creates
// it where there is none. Throws os::Error.
// may_pass: of a failure, as in the job's result event.
void write_termination_file(const contract::Report& report, const std::filesystem::path& path,
                            bool may_pass = false);

}  // namespace hyper2kvm::cli
