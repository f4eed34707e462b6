#include "runner/pipeline/verify.h"

#include <fmt/format.h>

#include <set>
#include <string>

#include "runner/contract/attestation.h"
#include "runner/image/conversion.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/pipeline/progress_meter.h"
#include "runner/pipeline/together.h"

namespace hyper2kvm::pipeline {
namespace {

namespace fs = std::filesystem;
using os::Error;
using os::ErrorKind;

fs::path normal(const fs::path& path) { return fs::absolute(path).lexically_normal(); }

bool names_the_same(const fs::path& a, const fs::path& b) {
  return normal(a) == normal(b) || os::same_file(a, b);
}

image::ImageLocation locate(const Job& job, std::size_t index) {
  const contract::Disk& disk = job.parsed.manifest.disks[index];
  if (!job.locations.empty()) {
    const DiskLocation& given = job.locations[index];
    return {given.file, given.offset, given.length};
  }
  fs::path path = contract::resolve_path(job.parsed.path, disk.local_path);
  std::uint64_t size = 0;
  try {
    size = os::File::open(path, os::File::Mode::kRead).size();
  } catch (const Error& error) {
    if (error.errno_value() != ENOENT) throw error.with_context(disk.id);
    throw Error(ErrorKind::kInvalid, fmt::format("{}: {}", disk.id, path.string()), "does not exist",
                "Correct disks[].local_path, or make the volume with the disk visible to hyper2kvm.", ENOENT);
  }
  if (size != disk.bytes)
    throw Error(ErrorKind::kInvalid, fmt::format("{}: {}", disk.id, path.string()),
                fmt::format("has {} bytes and the manifest says {}", size, disk.bytes),
                "The file is incomplete or another one: export or copy it again.");
  return {path, 0, size};
}

// Refuses what would fail later, when other disks have been copied for hours.
void check_device(const VerifiedDisk& disk) {
  const std::uint64_t size = os::File::open(disk.final_name, os::File::Mode::kDevice).size();
  if (size < disk.source.virtual_size)
    throw Error(ErrorKind::kInvalid, disk.final_name.string(),
                fmt::format("is a device of {} bytes, and the disk has {}", size, disk.source.virtual_size),
                "Use a larger device.");
}

// The place of a disk is usually a volume. If that is not there, what would be filled is its mount point.
void check_folder(const VerifiedDisk& disk) {
  const fs::path folder = disk.final_name.parent_path();
  std::error_code code;
  if (!disk.final_name.has_filename() || !fs::is_directory(folder, code))
    throw Error(ErrorKind::kInvalid, folder.string(), "is no directory, and a disk is to be published in it",
                "Make the directory, or mount the volume.");
}

VerifiedDisk verify_disk(const Job& job, const Verified& verified, std::size_t index) {
  const contract::Manifest& manifest = job.parsed.manifest;
  const contract::Disk& disk = manifest.disks[index];
  const image::ImageLocation location = locate(job, index);
  try {
    VerifiedDisk result;
    result.source = image::open_source(location, disk.source_format, fmt::format("disk{}", index));
    const auto device = manifest.output.devices.find(disk.id);
    result.is_device = device != manifest.output.devices.end();
    const auto file = manifest.output.files.find(disk.id);
    if (result.is_device)
      result.final_name = device->second;
    else if (file != manifest.output.files.end())
      result.final_name = fs::path(file->second).lexically_normal();
    else
      result.final_name = verified.output_directory / contract::published_name(manifest, index);
    if (manifest.pipeline.convert.enabled) {
      if (result.is_device) check_device(result);
      if (file != manifest.output.files.end()) check_folder(result);
    }
    return result;
  } catch (const Error& error) {
    throw error.with_context(disk.id);
  }
}

void refuse_outputs_that_are_inputs(const Job& job, const Verified& verified) {
  std::set<fs::path> outputs;
  for (const VerifiedDisk& disk : verified.disks) {
    bool twice = !outputs.insert(normal(disk.final_name)).second;
    for (const VerifiedDisk& other : verified.disks)
      twice = twice || (disk.is_device && other.is_device && &other != &disk &&
                        os::same_file(disk.final_name, other.final_name));
    if (twice)
      throw Error(ErrorKind::kInvalid, disk.final_name.string(), "would be the output of two disks",
                  disk.is_device ? "Give each disk a device of its own." : "Give the disks different ids.");
    std::error_code code;
    if (fs::is_directory(disk.final_name, code))
      throw Error(ErrorKind::kInvalid, disk.final_name.string(),
                  "is a directory, and a disk must be published under that name",
                  "Move it away or choose another output directory.");
    for (const VerifiedDisk& other : verified.disks)
      for (const fs::path& input : other.source.files)
        if (names_the_same(disk.final_name, input))
          throw Error(ErrorKind::kInvalid, disk.final_name.string(),
                      "is an input of this job and would be overwritten by its output",
                      "Choose another output directory or format.");
    if (names_the_same(disk.final_name, job.input))
      throw Error(ErrorKind::kInvalid, disk.final_name.string(),
                  "is the input of this job and would be overwritten by its output",
                  "Choose another output directory.");
  }
}

}  // namespace

fs::path report_path_of(const Job& job) {
  const contract::Manifest& manifest = job.parsed.manifest;
  if (!manifest.options.report_enabled) return {};
  fs::path path = contract::output_directory(job.parsed) / manifest.options.report_path;
  bool is_input = names_the_same(path, job.input) ||
                  (manifest.options.attest && names_the_same(contract::attestation_path(path), job.input));
  for (const contract::Disk& disk : manifest.disks)
    if (job.locations.empty())
      is_input = is_input || names_the_same(path, contract::resolve_path(job.parsed.path, disk.local_path));
  for (const DiskLocation& location : job.locations)
    is_input = is_input || names_the_same(path, location.file);
  if (is_input)
    throw Error(ErrorKind::kInvalid, path.string(),
                "is an input of this job and would be overwritten by its report",
                "Set options.report.path or the output directory to another place.");
  return path;
}

Verified verify(const Job& job) {
  const contract::Manifest& manifest = job.parsed.manifest;
  Verified verified;
  verified.output_directory = contract::output_directory(job.parsed);
  std::error_code code;
  if (fs::exists(verified.output_directory, code) && !fs::is_directory(verified.output_directory, code))
    throw Error(ErrorKind::kInvalid, verified.output_directory.string(), "is not a directory",
                "Set output.directory to a directory.");
  if (manifest.pipeline.fix.enabled && !manifest.pipeline.convert.enabled && !manifest.options.dry_run)
    throw Error(ErrorKind::kInvalid, "pipeline.fix",
                "is on while pipeline.convert is off, and a source is never changed",
                "Turn pipeline.convert on, or set options.dry_run to see what a repair would change.");
  for (std::size_t i = 0; i < manifest.disks.size(); ++i)
    verified.disks.push_back(verify_disk(job, verified, i));
  refuse_outputs_that_are_inputs(job, verified);
  return verified;
}

void verify_checksums(const Job& job, const Verified& verified, image::RateLimiter* limiter, Record& record,
                      const os::StopToken& stop) {
  const contract::Manifest& manifest = job.parsed.manifest;
  ProgressMeter meter("verify", verified.disks.size(), record.events());
  for (std::size_t i = 0; i < verified.disks.size(); ++i) {
    const contract::Disk& disk = manifest.disks[i];
    const image::ImageLocation& location = verified.disks[i].source.location;
    if (disk.sha256) {
      std::string found = image::sha256_of(
          location, [&](std::uint64_t done) { meter.update(i, done, location.length); }, stop, limiter);
      if (found != *disk.sha256)
        throw Error(ErrorKind::kInvalid, fmt::format("{}: {}", disk.id, location.file.string()),
                    fmt::format("has the SHA-256 {} and the manifest says {}", found, *disk.sha256),
                    "The file is damaged or another one: export or copy it again.");
    }
    meter.update(i, location.length, location.length);
  }
}

}  // namespace hyper2kvm::pipeline
