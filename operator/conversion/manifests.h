// The objects that the operator makes for a conversion, as JSON. Pure functions of their arguments.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/conversion/children.h"
#include "operator/conversion/conversion.h"

namespace hyper2kvm::conversion {

// What the operator's own configuration adds to every runner.
struct RunnerDefaults {
  std::string image;
  std::vector<std::string> namespaces;  // those with runners; empty: all
};

// What a runner does. A survey tells which disks the input has and how large they are, and writes nothing.
enum class Work { kConvert, kSurvey };

// The Job of the n-th attempt, from 1. The same attempt always has the same name, so that it cannot be made
// twice; a conversion that was deleted and made again has another UID and so other names.
std::string job_name(const Conversion& conversion, std::int64_t attempt, Work work = Work::kConvert);

// Where the runner has the output claim, and where it has claims that are block volumes.
inline constexpr const char* kOutputFolder = "/output";
inline constexpr const char* kOutputDevice = "/dev/output";
inline constexpr const char* kSourceDevice = "/dev/source";

// Where it has the claim of one disk.
std::string disk_folder(std::size_t disk);
std::string disk_device(std::size_t disk);

// What the runner is started with: the program and its arguments.
std::vector<std::string> runner_command(const Conversion& conversion, BlockVolumes block = {},
                                        Work work = Work::kConvert);

// The pod meets the restricted Pod Security Standard and has no credentials of the cluster.
// node_slot: where there is a limit for each node. block.output: of a claim for all disks.
Json make_job(const Conversion& conversion, std::int64_t attempt, const RunnerDefaults& defaults,
              std::optional<std::size_t> node_slot, BlockVolumes block = {}, Work work = Work::kConvert);

// The claim of spec.output.volumeClaimTemplate. It has no owner: the disks outlive the conversion.
Json make_claim(const Conversion& conversion);

// The claim of one disk of status.disks, as large as the disk is, with room for a file system's own needs.
Json make_disk_claim(const Conversion& conversion, std::size_t disk);

// The same as DataVolumes, of which CDI makes such claims. What is said of their size is the disk's: by their
// `storage` (and not by `pvc`) CDI itself adds what a file system needs. Their claims are bound at once,
// because nothing may be written to them before CDI is done; and CDI does not remove them when it is.
Json make_data_volume(const Conversion& conversion);
Json make_disk_data_volume(const Conversion& conversion, std::size_t disk);

}  // namespace hyper2kvm::conversion
