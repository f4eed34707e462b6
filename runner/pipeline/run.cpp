// One job, from its manifest to its report.
//
// The order here is the promise of the report: nothing is created before verify has passed, nothing has its
// final name before it is complete and checked, and when run() returns after a failure the output directory
// holds the report, the picture of a machine that did not start, and nothing else of ours.
#include <fmt/format.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runner/image/conversion.h"
#include "runner/libvirt/registration.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/pipeline/boot_trial.h"
#include "runner/pipeline/convert_and_fix.h"
#include "runner/pipeline/machine.h"
#include "runner/pipeline/pipeline.h"
#include "runner/pipeline/progress_meter.h"
#include "runner/pipeline/provenance.h"
#include "runner/pipeline/publication.h"
#include "runner/pipeline/record.h"
#include "runner/pipeline/together.h"
#include "runner/pipeline/verify.h"
#include "runner/pipeline/workspace.h"

namespace hyper2kvm::pipeline {
namespace {

namespace fs = std::filesystem;
using os::Error;
using os::ErrorKind;

bool attests(const contract::Manifest& manifest) {
  return manifest.options.attest && manifest.pipeline.convert.enabled;
}

bool registers(const contract::Manifest& manifest) { return manifest.libvirt && manifest.libvirt->enabled; }

std::vector<std::string> validate(const Job& job, const Converted& converted, image::RateLimiter* limiter,
                                  Record& record, const os::StopToken& stop) {
  const contract::Manifest& manifest = job.parsed.manifest;
  std::vector<std::string> checksums(converted.partials.size());
  if (!manifest.pipeline.validate.enabled) return checksums;
  record.stage("validate", [&]() -> nlohmann::json {
    nlohmann::json disks = nlohmann::json::array();
    if (!manifest.pipeline.validate.check_image_integrity) return {{"check_image_integrity", false}};
    std::vector<image::CheckResult> results(converted.partials.size());
    Together checks(stop);
    for (std::size_t i = 0; i < results.size(); ++i)
      checks.start([&, i](const os::StopToken& inner) {
        try {
          results[i] = image::check_image(converted.partials[i], manifest.output.format,
                                          converted.results[i].virtual_size, inner, limiter);
        } catch (const Error& error) {
          throw error.with_context(manifest.disks[i].id);
        }
      });
    checks.wait();
    for (std::size_t i = 0; i < results.size(); ++i) {
      disks.push_back({{"disk_id", manifest.disks[i].id}, {"checked_with", results[i].checker}});
      if (results[i].sha256.empty()) continue;
      checksums[i] = "sha256:" + results[i].sha256;
      disks.back()["checksum"] = checksums[i];
    }
    return {{"check_image_integrity", true}, {"disks", std::move(disks)}};
  });
  return checksums;
}

struct NobodyListens : contract::EventSink {
  void emit(const contract::Event&) override {}
};

// What is known of the machine before its guest was looked at. What there is to warn of is said when it is
// registered.
libvirt::DomainFacts machine_before_repair(const contract::Manifest& manifest, const Verified& verified) {
  std::vector<fs::path> names;
  for (const auto& disk : verified.disks) names.push_back(disk.final_name);
  contract::Report unused;
  NobodyListens nobody;
  Record silent(unused, nobody);
  return machine_of(manifest, names, {}, silent);
}

// From the finished images in their workspaces to a registered machine. The publication stands only when this
// returns.
void publish_and_register(const Job& job, const Verified& verified, const Converted& converted,
                          std::vector<std::string> checksums, image::RateLimiter* limiter, Record& record,
                          const os::StopToken& stop) {
  const contract::Manifest& manifest = job.parsed.manifest;
  Publication publication;
  std::vector<fs::path> published;
  record.stage("publish", [&]() -> nlohmann::json {
    complete_checksums(job, converted, checksums, limiter, stop);
    nlohmann::json paths = nlohmann::json::array();
    for (std::size_t i = 0; i < converted.partials.size(); ++i) {
      stop.throw_if_stopped();
      if (!verified.disks[i].is_device)
        publication.publish(converted.partials[i], verified.disks[i].final_name);
      published.push_back(verified.disks[i].final_name);
      paths.push_back(published.back().string());
    }
    return {{"paths", std::move(paths)}};
  });
  if (registers(manifest)) {
    record.stage("register", [&]() -> nlohmann::json {
      libvirt::DomainFacts facts = machine_of(manifest, published, converted.inspection(), record);
      ProgressMeter meter("register", facts.disks.size(), record.events());
      libvirt::BeforeTransfer before_transfer;
      if (limiter != nullptr)
        before_transfer = [&](std::uint64_t bytes) {
          limiter->pass(bytes, [&] { stop.throw_if_stopped(); });
        };
      libvirt::Registered registered = libvirt::register_machine(
          *manifest.libvirt, facts, stop,
          [&](std::size_t disk, std::uint64_t done, std::uint64_t total) { meter.update(disk, done, total); },
          before_transfer);
      for (const std::string& warning : registered.warnings) record.warning("register", warning);
      nlohmann::json disks = nlohmann::json::array();
      for (const libvirt::DomainDisk& disk : registered.disks) disks.push_back(disk.path.string());
      return {{"uri", manifest.libvirt->uri},   {"domain", registered.name}, {"uuid", registered.uuid},
              {"type", registered.domain_type}, {"disks", std::move(disks)}, {"started", registered.started}};
    });
  }
  for (std::size_t i = 0; i < published.size(); ++i) {
    const contract::Disk& disk = manifest.disks[i];
    record.artifact({.path = published[i],
                     .disk_id = disk.id,
                     .format = std::string(contract::to_string(manifest.output.format)),
                     .size_bytes = converted.results[i].file_size,
                     .virtual_size_bytes = converted.results[i].virtual_size,
                     .checksum = checksums[i],
                     .boot_order_hint = disk.boot_order_hint,
                     .compressed = converted.results[i].compressed});
  }
  publication.commit();
}

void dry_run(const Job& job, const Settings& settings, const Verified& verified, const fs::path& scratch,
             Record& record, const os::StopToken& stop) {
  const contract::Manifest& manifest = job.parsed.manifest;
  if (manifest.pipeline.fix.enabled)
    look_only(job, settings, verified, guest::Mode::kDryRun, scratch, record, stop);
  else if (manifest.pipeline.inspect.enabled)
    look_only(job, settings, verified, guest::Mode::kInspect, scratch, record, stop);
  if (manifest.pipeline.convert.enabled)
    for (std::size_t i = 0; i < verified.disks.size(); ++i) {
      const VerifiedDisk& disk = verified.disks[i];
      record.info("convert", fmt::format("would write {} ({} bytes virtual)", disk.final_name.string(),
                                         disk.source.virtual_size));
      record.artifact({.type = contract::kPlannedDisk,
                       .path = disk.final_name,
                       .disk_id = manifest.disks[i].id,
                       .format = std::string(contract::to_string(manifest.output.format)),
                       .virtual_size_bytes = disk.source.virtual_size,
                       .boot_order_hint = manifest.disks[i].boot_order_hint});
    }
  if (starts_machine(manifest)) record.info("boot", "would start the converted machine");
  if (registers(manifest))
    record.info("register",
                fmt::format("would register {} at {}", machine_name(manifest), manifest.libvirt->uri));
}

// One workspace on each file system that something is published on: in the output directory, and beside each
// disk that has a place of its own.
class Workspaces {
 public:
  explicit Workspaces(const Verified& verified) : common_(verified.output_directory) {
    for (const VerifiedDisk& disk : verified.disks) {
      const fs::path folder = disk.final_name.parent_path();
      if (disk.is_device || folder == verified.output_directory)
        of_disks_.push_back(common_.path());
      else
        of_disks_.push_back(others_.try_emplace(folder, folder).first->second.path());
    }
  }
  const fs::path& common() const { return common_.path(); }
  const std::vector<fs::path>& of_disks() const { return of_disks_; }

 private:
  Workspace common_;
  std::map<fs::path, Workspace> others_;
  std::vector<fs::path> of_disks_;
};

void convert(const Job& job, const Settings& settings, const Verified& verified, const fs::path& scratch,
             const fs::path& report_path, const std::shared_ptr<image::RateLimiter>& limiter, Record& record,
             const os::StopToken& stop) {
  const contract::Manifest& manifest = job.parsed.manifest;
  Workspaces workspaces(verified);
  FinishedDevices devices;
  Converted converted;
  // A registration that cannot work is found out while the disks are copied, not after.
  Together tasks(stop);
  if (registers(manifest))
    tasks.start([&](const os::StopToken& inner) {
      try {
        libvirt::check_registration(*manifest.libvirt, machine_before_repair(manifest, verified), inner);
      } catch (const Error& error) {
        // Of the stage that it would have been, not of the one that it stops.
        if (error.kind() == ErrorKind::kCancelled) throw;
        record.stage("register", [&]() -> nlohmann::json { throw error; });
      }
    });
  tasks.start([&](const os::StopToken& inner) {
    converted = convert_and_fix(job, settings, verified, workspaces.common(), workspaces.of_disks(), scratch,
                                limiter, devices, record, inner);
  });
  tasks.start([&](const os::StopToken& inner) { record_tools(manifest, record, inner); });
  tasks.wait();
  record_inputs(job, verified, converted, limiter.get(), record, stop);
  std::vector<std::string> checksums = validate(job, converted, limiter.get(), record, stop);
  try_boot(job, converted, workspaces.common(), scratch, screenshot_path_of(report_path), record, stop);
  publish_and_register(job, verified, converted, std::move(checksums), limiter.get(), record, stop);
  devices.commit();
  record.machine(facts_of(manifest, converted.inspection(), manifest.pipeline.fix.enabled));
}

void run_stages(const Job& job, const Settings& settings, const fs::path& report_path, Record& record,
                const os::StopToken& stop) {
  const contract::Manifest& manifest = job.parsed.manifest;
  // One budget for the whole job: all its disks, all that reads and writes them.
  std::shared_ptr<image::RateLimiter> limiter;
  if (settings.rate_limit != 0) limiter = std::make_shared<image::RateLimiter>(settings.rate_limit);
  Verified verified;
  bool converts = manifest.pipeline.convert.enabled && !manifest.options.dry_run;
  record.stage("verify", [&]() -> nlohmann::json {
    verified = verify(job);
    if (converts) check_boot_trial(manifest);
    if (!converts && !manifest.options.dry_run) verify_checksums(job, verified, limiter.get(), record, stop);
    return {{"disks", verified.disks.size()}};
  });
  if (manifest.options.attest && !(manifest.options.report_enabled && manifest.pipeline.convert.enabled))
    record.warning("", "No statement is written: it goes beside the report, and is about converted disks.");
  if (manifest.pipeline.validate.boot.enabled && !manifest.pipeline.convert.enabled)
    record.warning("boot", "pipeline.convert is off, so there is no machine to start.");
  os::TemporaryDirectory scratch("h2k", settings.temporary_directory);
  if (manifest.options.dry_run)
    dry_run(job, settings, verified, scratch.path(), record, stop);
  else if (converts)
    convert(job, settings, verified, scratch.path(), report_path, limiter, record, stop);
  else if (manifest.pipeline.inspect.enabled)
    look_only(job, settings, verified, guest::Mode::kInspect, scratch.path(), record, stop);
}

contract::Report start_report(const Job& job) {
  const contract::Manifest& manifest = job.parsed.manifest;
  contract::Report report;
  report.timestamp = std::chrono::system_clock::now();
  report.manifest_path = job.input;
  report.manifest_version = manifest.manifest_version;
  report.source_provider = manifest.source.provider;
  report.source_vm_id = manifest.source.vm_id;
  report.source_vm_name = manifest.source.vm_name;
  report.input_disks = manifest.disks.size();
  return report;
}

}  // namespace

Outcome run(const Job& job, const Settings& settings, contract::EventSink& events,
            const os::StopToken& stop) {
  auto started = std::chrono::steady_clock::now();
  Outcome outcome;
  outcome.report = start_report(job);
  Record record(outcome.report, events);
  contract::Event result{.kind = contract::Event::Kind::kResult};
  auto fail = [&](const Error& error, const std::string& stage) {
    record.error(stage, error);
    outcome.report.success = false;
    outcome.report.artifacts.clear();
    outcome.exit_status = error.exit_status();
    outcome.cancelled = error.kind() == ErrorKind::kCancelled;
    outcome.may_pass = error.may_pass();
    result.may_pass = outcome.may_pass;
    result.severity = contract::Severity::kError;
    result.message = error.sentence();
    result.stage = stage;
  };
  for (const std::string& warning : job.parsed.warnings) record.warning("", warning);
  for (const std::string& warning : job.parsed.manifest.warnings)
    record.warning("", "From the exporter: " + warning);
  fs::path report_path;
  try {
    report_path = report_path_of(job);
    run_stages(job, settings, report_path, record, stop);
    outcome.report.success = true;
    for (const contract::Artifact& artifact : outcome.report.artifacts)
      if (!job.parsed.manifest.options.dry_run &&
          artifact.disk_id == job.parsed.manifest.disks[job.parsed.manifest.boot_disk()].id)
        outcome.boot_disk = artifact.path;
  } catch (const Error& error) {
    fail(error, record.failed_stage());
  }
  outcome.report.duration_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  if (!report_path.empty() && !job.parsed.manifest.options.dry_run) {
    try {
      os::make_directories(report_path.parent_path());
      contract::write_report(outcome.report, report_path);
      outcome.report_path = report_path;
      if (attests(job.parsed.manifest) && outcome.report.success)
        write_statement(outcome.report, job.parsed.manifest, report_path);
    } catch (const Error& error) {
      // The disks are published and good, and a name that exists is complete: a report that cannot be written
      // takes nothing back.
      record.warning("report",
                     error.with_context("the report or its statement could not be written").sentence());
    }
  }
  result.time = std::chrono::system_clock::now();
  result.success = outcome.report.success;
  result.duration_seconds = outcome.report.duration_seconds;
  result.output_path = outcome.boot_disk.string();
  result.report_path = outcome.report_path.string();
  events.emit(result);
  return outcome;
}

}  // namespace hyper2kvm::pipeline
