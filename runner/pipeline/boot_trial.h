// The stage `boot`: the converted machine is started before anybody gets to see its disks, and what it does
// decides whether they are published. Only where pipeline.validate.boot asks for it.
#pragma once

#include <filesystem>
#include <string>

#include "runner/pipeline/convert_and_fix.h"
#include "runner/pipeline/record.h"
#include "runner/pipeline/verify.h"

namespace hyper2kvm::pipeline {

// Whether the job has that stage.
bool starts_machine(const contract::Manifest& manifest);

// Throws os::Error where the machine could not be started on this host whatever comes of the conversion: no
// emulator, no UEFI firmware. For the time before the disks are copied.
void check_boot_trial(const contract::Manifest& manifest);

// Starts the machine over overlays in the workspace. Records the trial in the report; a picture of its screen
// goes to screenshot, replacing an older one, where the machine did not say how it is (empty: none is taken).
// Throws os::Error (kInvalid) where it does not come up.
void try_boot(const Job& job, const Converted& converted, const std::filesystem::path& workspace,
              const std::filesystem::path& scratch, const std::filesystem::path& screenshot, Record& record,
              const os::StopToken& stop);

// The place of the picture: beside the report.
std::filesystem::path screenshot_path_of(const std::filesystem::path& report);

}  // namespace hyper2kvm::pipeline
