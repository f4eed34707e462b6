#include "runner/pipeline/provenance.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "runner/appliance/appliance.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/os/process.h"

namespace hyper2kvm::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr auto kLongestToSay = std::chrono::seconds(10);

// The first word that looks like a version: "7.2.22" of "QEMU emulator version 7.2.22 (Debian ...)".
std::string first_version(const std::string& text) {
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = std::min(text.find_first_of(" \n\t(,", begin), text.size());
    std::string word = text.substr(begin, end - begin);
    if (!word.empty() && word[0] >= '0' && word[0] <= '9' && word.find('.') != std::string::npos &&
        word.size() <= 64 &&
        word.find_first_not_of("0123456789.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+~-") ==
            std::string::npos)
      return word;
    begin = end + 1;
  }
  return "unknown";
}

}  // namespace

std::string version_of(const std::string& program, const os::StopToken& stop) {
  try {
    return first_version(
        os::run_program({.arguments = {program, "--version"}}, stop, kLongestToSay, 64 << 10));
  } catch (const os::Error&) {
    stop.throw_if_stopped();
    return "unknown";
  }
}

void record_tools(const contract::Manifest& manifest, Record& record, const os::StopToken& stop) {
  auto add = [&](const std::string& name, const std::string& program) {
    std::string version = version_of(program, stop);
    if (version != "unknown") record.tool(name, version);
  };
  add("qemu-img", "qemu-img");
  add("qemu-storage-daemon", "qemu-storage-daemon");
  if (!manifest.pipeline.fix.enabled && !manifest.pipeline.inspect.enabled) return;
  try {
    add("user-mode-linux", appliance::find_installation().kernel.string());
  } catch (const os::Error&) {
    // The stage that needs it says so.
    stop.throw_if_stopped();
  }
}

void record_inputs(const Job& job, const Verified& verified, const Converted& converted,
                   image::RateLimiter* limiter, Record& record, const os::StopToken& stop) {
  const contract::Manifest& manifest = job.parsed.manifest;
  for (std::size_t i = 0; i < verified.disks.size(); ++i) {
    const image::SourceImage& source = verified.disks[i].source;
    std::string digest = converted.results[i].source_sha256;
    if (digest.empty() && manifest.options.attest)
      digest = image::sha256_of(source.location, {}, stop, limiter);
    record.input({.disk_id = manifest.disks[i].id,
                  .path = fs::absolute(source.location.file),
                  .offset = source.location.offset,
                  .size_bytes = source.location.length,
                  .checksum = digest.empty() ? "" : "sha256:" + digest});
    // The others that belong to it: extents, a chain of backing files, data files.
    for (const fs::path& file : source.files) {
      if (file == source.location.file) continue;
      image::ImageLocation extent = image::whole_file(file);
      record.input({.disk_id = manifest.disks[i].id,
                    .path = fs::absolute(file),
                    .size_bytes = extent.length,
                    .checksum = manifest.options.attest
                                    ? "sha256:" + image::sha256_of(extent, {}, stop, limiter)
                                    : ""});
    }
  }
}

void complete_checksums(const Job& job, const Converted& converted, std::vector<std::string>& checksums,
                        image::RateLimiter* limiter, const os::StopToken& stop) {
  const contract::Manifest& manifest = job.parsed.manifest;
  if (!manifest.options.attest) return;
  for (std::size_t i = 0; i < checksums.size(); ++i) {
    if (!checksums[i].empty()) continue;
    image::ImageLocation location = image::whole_file(converted.partials[i]);
    // Of a block device the disk, not what lies behind it.
    if (manifest.output.format == contract::OutputFormat::kRaw)
      location.length = std::min(location.length, converted.results[i].virtual_size);
    checksums[i] = "sha256:" + image::sha256_of(location, {}, stop, limiter);
  }
}

void write_statement(const contract::Report& report, const contract::Manifest& manifest,
                     const fs::path& report_path) {
  std::string digest = image::sha256_of(image::whole_file(report_path), {}, {});
  nlohmann::json statement =
      contract::make_statement(report, manifest, report_path, digest, std::chrono::system_clock::now());
  os::write_text_atomically(contract::attestation_path(report_path),
                            statement.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace hyper2kvm::pipeline
