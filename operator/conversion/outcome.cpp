#include "operator/conversion/outcome.h"

#include <filesystem>

#include "operator/conversion/manifests.h"

namespace hyper2kvm::conversion {
namespace {

using contract::TerminationResult;

// The output claim is a block volume, and so the disk itself.
bool is_on_device(const TerminationResult& result) {
  return !result.disks.empty() && result.disks[0].path == kOutputDevice;
}

}  // namespace

std::optional<Failure> problem_of_survey(const TerminationResult& result) {
  if (!result.dry_run || result.disks.empty())
    return Failure{"SurveyFailed", "",
                   "The runner does not say how large the disks are. Use a runner image of the operator's "
                   "own version.",
                   false};
  if (result.disks.size() < result.total_disks)
    return Failure{"TooManyDisks", "",
                   "The machine has " + std::to_string(result.total_disks) +
                       " disks, and a claim for each is made for " + std::to_string(result.disks.size()) +
                       " at most. Name one claim for all of them.",
                   false};
  return std::nullopt;
}

std::vector<PlannedDisk> planned_disks(const Conversion& conversion, const TerminationResult& result) {
  std::vector<PlannedDisk> disks;
  for (const TerminationResult::Disk& disk : result.disks)
    disks.push_back({disk.disk_id, static_cast<std::int64_t>(disk.virtual_size_bytes), disk.boot_order_hint,
                     conversion.disk_claim_name(disks.size())});
  return disks;
}

bool made_nothing(const TerminationResult& result) { return result.total_disks == 0 || result.dry_run; }

std::optional<Failure> problem_of_disks(const TerminationResult& result) {
  if (made_nothing(result))
    return Failure{"NothingConverted", "",
                   "The runner made no disk, because the input asks for none: options.dry_run is set in the "
                   "manifest.",
                   false};
  if (is_on_device(result) && result.total_disks > 1)
    return Failure{"TooManyDisks", "",
                   "The machine has " + std::to_string(result.total_disks) +
                       " disks, and a block volume holds one. Name a claim with volumeMode Filesystem.",
                   false};
  return std::nullopt;
}

std::optional<Failure> problem_of_machine(const Conversion& conversion, const TerminationResult& result) {
  if (!result.machine)
    return Failure{"MachineRefused", "register",
                   "The runner does not say what the machine needs. Use a runner image of the operator's "
                   "own version.",
                   false};
  if (!conversion.makes_a_claim_for_each_disk() && result.total_disks != 1)
    return Failure{"MachineRefused", "register",
                   "The machine has " + std::to_string(result.total_disks) +
                       " disks, and KubeVirt takes one from a claim. Set spec.output.diskClaimTemplates, "
                       "which makes a claim for each.",
                   false};
  return std::nullopt;
}

std::vector<Artifact> artifacts_of(const Conversion& conversion, const TerminationResult& result) {
  const std::string root = std::string(kOutputFolder) + "/";
  const std::vector<PlannedDisk>& planned = conversion.status.disks;
  std::vector<Artifact> artifacts;
  for (const TerminationResult::Disk& disk : result.disks) {
    std::string claim = conversion.output_claim_name();
    std::string path = disk.path.starts_with(root) ? disk.path.substr(root.size()) : disk.path;
    if (is_on_device(result)) path.clear();  // the claim is the disk
    for (std::size_t i = 0; i < planned.size() && conversion.makes_a_claim_for_each_disk(); ++i) {
      if (planned[i].id != disk.disk_id) continue;
      claim = planned[i].claim_name;
      path = conversion.disk_is_block(i) ? "" : std::filesystem::path(disk.path).filename().string();
    }
    artifacts.push_back({disk.disk_id, claim, path, disk.format, static_cast<std::int64_t>(disk.size_bytes)});
  }
  return artifacts;
}

std::optional<Guest> guest_of(const TerminationResult& result) {
  if (!result.machine || result.machine->os_type.empty()) return std::nullopt;
  const contract::MachineFacts& found = *result.machine;
  return Guest{found.os_type,     found.distribution, found.version,
               found.pretty_name, found.hostname,     found.architecture};
}

std::string target_of(const Conversion& conversion, const TerminationResult& result) {
  const std::string claim = conversion.output_claim_name();
  if (conversion.makes_a_claim_for_each_disk()) {
    const std::size_t disks = conversion.status.disks.size();
    return disks > 1 ? claim + " and " + std::to_string(disks - 1) + " more" : claim;
  }
  const bool has_folder = !conversion.spec.kubevirt && !is_on_device(result);
  return has_folder ? claim + "/" + conversion.output_directory() : claim;
}

}  // namespace hyper2kvm::conversion
