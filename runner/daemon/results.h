// What a job leaves for hyperexport and for people: OUTPUT_DIR/<vm>.qcow2 or OUTPUT_DIR/<vm>.error, exactly
// one of the two once the job has ended.
//
// <vm>.qcow2 appears in one step and only for a complete image. It is a second name (a hard link) of the boot
// disk in OUTPUT_DIR/machines/<vm>; where the chosen format is not qcow2, or the file system has no hard
// links, it is a symbolic link, so that the name lies to nobody who looks. Every function may be repeated
// after a crash. Throws os::Error.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runner/daemon/job.h"

namespace hyper2kvm::daemon {

// Before a job: removes what an earlier one left under these names. A file that is the last name of its image
// is kept under another name, which is returned.
std::optional<std::filesystem::path> remove_stale_results(const std::filesystem::path& output_dir,
                                                          const Job& job);

void publish_result(const std::filesystem::path& output_dir, const Job& job);
// <vm>.error holds job.error.
void publish_failure(const std::filesystem::path& output_dir, const Job& job);
void remove_failure(const std::filesystem::path& output_dir, const Job& job);

// When a failed job is forgotten: removes its error file and its report, where they are still its own.
void remove_traces_of_failure(const std::filesystem::path& output_dir, const Job& job,
                              const std::filesystem::path& manifest);

// The verdict that the engine's report gives on an attempt of this job; nullopt where there is no report of
// it.
struct Verdict {
  bool success = false;
  std::string error;
  std::string boot_disk;  // empty where nothing was published
  std::uint64_t output_bytes = 0;
  double duration_seconds = 0;
  std::vector<std::string> warnings;
};
// manifest: what the engine was given; the report must name it, else it is another job's. Of a success, every
// artifact must still be there.
std::optional<Verdict> read_verdict(const std::filesystem::path& report,
                                    const std::filesystem::path& manifest);

// Removes the job's source disks. Keeps those that another job still needs, those that are in the output
// directory, and what is no plain file; returns a sentence for each that could not be removed.
std::vector<std::string> remove_sources(const Job& job, const std::vector<std::string>& still_needed,
                                        const std::filesystem::path& output_dir);

// Why the daemon cannot see a disk, where its own confinement is the likely reason: a sentence with what to
// change; nullopt where it can be read or the engine's own message says it better.
std::optional<std::string> hidden_disk(const std::filesystem::path& disk);

}  // namespace hyper2kvm::daemon
