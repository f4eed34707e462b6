// Opens the guest of a job in the appliance: to look, to rehearse a repair, or to repair.
#pragma once

#include <filesystem>
#include <vector>

#include "runner/guest/protocol.h"
#include "runner/pipeline/record.h"
#include "runner/pipeline/verify.h"

namespace hyper2kvm::pipeline {

// overlays: one existing overlay a disk; what the appliance writes goes there and nowhere else. stage: whose
// progress it is. The guest's warnings are recorded. Throws os::Error, also with the guest's own reason when
// it cannot be opened or repaired.
guest::Answer open_guest(const Job& job, const Settings& settings, const Verified& verified, guest::Mode mode,
                         const std::vector<std::filesystem::path>& overlays,
                         const std::filesystem::path& scratch, const std::string& stage, Record& record,
                         const os::StopToken& stop);

}  // namespace hyper2kvm::pipeline
