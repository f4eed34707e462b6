#include "operator/conversion/claims.h"

#include <algorithm>
#include <string_view>

#include "runner/contract/text.h"

namespace hyper2kvm::conversion {
namespace {

template <class View>
const View* named(const std::vector<View>& views, const std::string& name) {
  auto found =
      std::find_if(views.begin(), views.end(), [&](const View& one) { return one.key.name == name; });
  return found == views.end() ? nullptr : &*found;
}

// kind: of the object that has the name.
Lack name_is_taken(std::string_view kind, const std::string& name) {
  return {"ClaimExists",
          "There is a " + std::string(kind) + " " + name +
              " already, which was not made for this conversion or is being deleted. Delete it, rename the "
              "conversion, or name an existing claim in spec.output.persistentVolumeClaim."};
}

// A DataVolume before its claim may be written to.
std::optional<Lack> lack_of_data_volume(const Observed& seen, const std::string& name,
                                        const ClaimView* claim) {
  const DataVolumeView* volume = named(seen.data_volumes, name);
  if (volume == nullptr) {
    if (claim != nullptr) return name_is_taken("claim", name);
    return Lack{"MakingClaim", "The DataVolume " + name + " is being made.", Lack::Remedy::kMake};
  }
  if (volume->conversion_uid != seen.conversion.uid || volume->is_being_deleted)
    return name_is_taken("DataVolume", name);
  const std::string told =
      volume->problem.empty() ? "" : " It says: " + contract::printable(volume->problem, 512);
  if (volume->phase == "Failed")
    return Lack{"DataVolumeFailed", "CDI could not make the DataVolume " + name + "." + told};
  // Before that, CDI writes to it.
  if (volume->phase == "Succeeded" && claim != nullptr) return std::nullopt;
  return Lack{"MakingClaim",
              "CDI makes the claim of the DataVolume " + name +
                  (volume->phase.empty() ? "." : " (" + contract::printable(volume->phase) + ").") + told,
              Lack::Remedy::kTime};
}

// What a block volume cannot take, as the end of a sentence; empty where it can take the conversion's disk.
std::string problem_of_block(const Conversion& conversion) {
  const Spec& spec = conversion.spec;
  if (spec.libvirt)
    return "and libvirt's pool takes the machine's disks from files. Name a claim with volumeMode "
           "Filesystem.";
  if (spec.source_claim == conversion.output_claim_name())
    return "and the source too. Name another claim for the disks.";
  if (!spec.format.empty() && spec.format != "raw")
    return "which holds a raw disk and no " + spec.format +
           ". Set spec.output.format to raw, or name a claim with volumeMode Filesystem.";
  if (spec.compress)
    return "which holds a raw disk, and a raw disk cannot be compressed. Leave the compression out, or "
           "name a claim with volumeMode Filesystem.";
  if (spec.disks.size() > 1)
    return "which holds one disk, and spec.source names " + std::to_string(spec.disks.size()) +
           ". Name a claim with volumeMode Filesystem.";
  return "";
}

}  // namespace

std::optional<Lack> lack_of_source(const Observed& seen) {
  const Spec& spec = seen.conversion.spec;
  if (!seen.source_claim || seen.source_claim->is_being_deleted)
    return Lack{"SourceMissing",
                "The claim " + spec.source_claim + " with the exported machine does not exist."};
  if (seen.source_claim->is_block && spec.names_files())
    return Lack{"SourceIsBlock", "The claim " + spec.source_claim +
                                     " is a block volume, which is the disk itself and has no files. Leave "
                                     "spec.source.path and spec.source.disks out, or name a claim with "
                                     "volumeMode Filesystem."};
  return std::nullopt;
}

std::optional<Lack> lack_of_output(const Observed& seen) {
  const Conversion& conversion = seen.conversion;
  const std::string name = conversion.output_claim_name();
  const ClaimView* claim = seen.output_claim ? &*seen.output_claim : nullptr;
  // Whose the claim of a DataVolume is, the DataVolume tells.
  const bool by_cdi = conversion.output_is_data_volume();
  if (by_cdi)
    if (auto lack = lack_of_data_volume(seen, name, claim)) return lack;
  if (claim == nullptr && conversion.makes_its_claim())
    return Lack{"MakingClaim", "The claim " + name + " for the disks is being made.", Lack::Remedy::kMake};
  if (claim == nullptr) return Lack{"OutputMissing", "The claim " + name + " for the disks does not exist."};
  if (conversion.makes_its_claim() && !by_cdi && claim->conversion_uid != conversion.uid)
    return name_is_taken("claim", name);
  if (claim->is_being_deleted)
    return Lack{"OutputMissing", "The claim " + name + " for the disks is being deleted."};
  if (!claim->is_block) return std::nullopt;
  if (std::string problem = problem_of_block(conversion); !problem.empty())
    return Lack{"OutputIsBlock", "The claim " + name + " is a block volume, " + problem};
  return std::nullopt;
}

std::optional<Lack> lack_of_disk_claim(const Observed& seen, std::size_t disk) {
  const Conversion& conversion = seen.conversion;
  const std::string& name = conversion.status.disks[disk].claim_name;
  const ClaimView* claim = named(seen.disk_claims, name);
  if (conversion.disk_is_data_volume(disk)) return lack_of_data_volume(seen, name, claim);
  if (claim == nullptr)
    return Lack{"MakingClaim", "The claim " + name + " for a disk is being made.", Lack::Remedy::kMake};
  if (claim->conversion_uid != conversion.uid || claim->is_being_deleted) return name_is_taken("claim", name);
  return std::nullopt;
}

}  // namespace hyper2kvm::conversion
