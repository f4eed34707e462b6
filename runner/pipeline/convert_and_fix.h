// The stages `convert`, `fix` and `inspect`, which overlap: a job takes the longer of copy and repair, not
// their sum.
//
//   a disk's thread:  copy ──────────────► wait for the repair ─► apply its overlay ─► finish
//   the fix thread:   appliance ─────────►┘
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "runner/guest/protocol.h"
#include "runner/image/conversion.h"
#include "runner/pipeline/publication.h"
#include "runner/pipeline/record.h"
#include "runner/pipeline/verify.h"

namespace hyper2kvm::pipeline {

struct Converted {
  // Finished images in the manifest's order: files in the workspaces, or the block devices themselves.
  std::vector<std::filesystem::path> partials;
  std::vector<image::ConversionResult> results;
  std::optional<guest::Answer> answer;  // when the guest was opened
  std::optional<guest::Inspection> inspection() const {
    return answer ? std::optional(answer->inspection) : std::nullopt;
  }
};

// workspace: for what the guest's repair changes. disk_workspaces: for each disk, on the file system that it
// is published on. scratch: for sockets. limiter: may be null. devices: gets those that have been finished,
// also before an error. Throws os::Error; then the workspaces hold only what is to be thrown away.
Converted convert_and_fix(const Job& job, const Settings& settings, const Verified& verified,
                          const std::filesystem::path& workspace,
                          const std::vector<std::filesystem::path>& disk_workspaces,
                          const std::filesystem::path& scratch,
                          const std::shared_ptr<image::RateLimiter>& limiter, FinishedDevices& devices,
                          Record& record, const os::StopToken& stop);

// Opens the guest for the stages that are on, without converting anything: an inspection or a rehearsed
// repair.
guest::Answer look_only(const Job& job, const Settings& settings, const Verified& verified, guest::Mode mode,
                        const std::filesystem::path& scratch, Record& record, const os::StopToken& stop);

// The report's form of an inspection; all of it, or only what a short list shows.
nlohmann::json inspection_result(const guest::Inspection& inspection, bool all);
nlohmann::json fix_result(const guest::Answer& answer);

}  // namespace hyper2kvm::pipeline
