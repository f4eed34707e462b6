#include "runner/pipeline/convert_and_fix.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <string>

#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/pipeline/guest_session.h"
#include "runner/pipeline/progress_meter.h"
#include "runner/pipeline/together.h"

namespace hyper2kvm::pipeline {
namespace {

namespace fs = std::filesystem;

// More disks than this at once only make the disk heads and the page cache fight.
constexpr std::size_t kDisksAtOnce = 4;

// Waiting threads look for a stop this often.
constexpr auto kTick = std::chrono::milliseconds(50);

fs::path make_private(const fs::path& directory) {
  os::make_directories(directory);
  return directory;
}

std::vector<fs::path> make_overlays(const Verified& verified, const fs::path& directory) {
  std::vector<fs::path> overlays;
  for (std::size_t i = 0; i < verified.disks.size(); ++i) {
    overlays.push_back(directory / fmt::format("overlay-{}.qcow2", i));
    image::create_overlay(overlays.back(), verified.disks[i].source.virtual_size);
  }
  return overlays;
}

// Hands the disks out to a few threads; a thread sees a disk through from copy to finish, because a helper
// process that was started for it lives as long as the thread that started it.
class DiskQueue {
 public:
  explicit DiskQueue(std::size_t count) : count_(count) {}
  std::optional<std::size_t> next() {
    std::size_t index = next_.fetch_add(1);
    if (index >= count_) return std::nullopt;
    return index;
  }

 private:
  std::size_t count_;
  std::atomic<std::size_t> next_{0};
};

void wait_for_repair(const std::shared_future<void>& repaired, const os::StopToken& stop) {
  while (repaired.wait_for(kTick) != std::future_status::ready) stop.throw_if_stopped();
  stop.throw_if_stopped();
}

// The convert stage stops because the user asked for it or because another stage failed; a reader of the
// report should see which.
os::Error name_the_reason(const os::Error& error, const os::StopToken& users_stop) {
  if (error.kind() != os::ErrorKind::kCancelled || users_stop.stop_requested()) return error;
  return os::Error(os::ErrorKind::kCancelled, "", "stopped because another stage failed");
}

nlohmann::json convert_result(const Job& job, const std::vector<image::ConversionResult>& results) {
  nlohmann::json disks = nlohmann::json::array();
  for (std::size_t i = 0; i < results.size(); ++i) {
    const image::ConversionResult& result = results[i];
    nlohmann::json disk = {{"disk_id", job.parsed.manifest.disks[i].id},
                           {"virtual_size_bytes", result.virtual_size},
                           {"size_bytes", result.file_size},
                           {"bytes_read", result.bytes_read},
                           {"compressed", result.compressed},
                           {"repaired_bytes", result.overlay_bytes}};
    if (!result.source_sha256.empty()) disk["source_checksum"] = "sha256:" + result.source_sha256;
    disks.push_back(std::move(disk));
  }
  return {{"disks", std::move(disks)}};
}

// A guest that is only looked at may be one that we cannot open (a data disk, an unknown system): that is
// said and does not end the job.
std::optional<guest::Answer> run_inspection(const Job& job, const Settings& settings,
                                            const Verified& verified, const std::vector<fs::path>& overlays,
                                            const fs::path& scratch, Record& record,
                                            const os::StopToken& stop) {
  std::optional<guest::Answer> answer;
  record.stage("inspect", [&]() -> nlohmann::json {
    try {
      answer = open_guest(job, settings, verified, guest::Mode::kInspect, overlays, scratch, "inspect",
                          record, stop);
      return inspection_result(answer->inspection, job.parsed.manifest.pipeline.inspect.collect_guest_info);
    } catch (const os::Error& error) {
      if (error.kind() != os::ErrorKind::kInvalid) throw;
      record.warning("inspect", error.sentence());
      return {{"os_type", "unknown"}, {"reason", error.sentence()}};
    }
  });
  return answer;
}

guest::Answer run_fix(const Job& job, const Settings& settings, const Verified& verified, guest::Mode mode,
                      const std::vector<fs::path>& overlays, const fs::path& scratch, Record& record,
                      const os::StopToken& stop) {
  const contract::Pipeline& pipeline = job.parsed.manifest.pipeline;
  guest::Answer answer;
  record.stage("fix", [&] {
    answer = open_guest(job, settings, verified, mode, overlays, scratch, "fix", record, stop);
    return fix_result(answer);
  });
  // The guest was opened once for both.
  if (pipeline.inspect.enabled)
    record.done("inspect", answer.seconds_to_open,
                inspection_result(answer.inspection, pipeline.inspect.collect_guest_info));
  return answer;
}

}  // namespace

nlohmann::json inspection_result(const guest::Inspection& inspection, bool all) {
  nlohmann::json result = guest::to_json(inspection);
  if (all) return result;
  nlohmann::json few = nlohmann::json::object();
  for (const char* key :
       {"os_type", "distribution", "version", "pretty_name", "architecture", "firmware", "root_device"})
    if (result.contains(key)) few[key] = result[key];
  return few;
}

nlohmann::json fix_result(const guest::Answer& answer) {
  nlohmann::json edits = nlohmann::json::array();
  for (const guest::Edit& edit : answer.edits) edits.push_back(guest::to_json(edit));
  nlohmann::json result = {{"edits", std::move(edits)},
                           {"seconds",
                            {{"open", answer.seconds_to_open},
                             {"repair", answer.seconds_to_repair},
                             {"close", answer.seconds_to_close}}}};
  if (!answer.printed.empty()) result["printed"] = answer.printed;
  return result;
}

Converted convert_and_fix(const Job& job, const Settings& settings, const Verified& verified,
                          const fs::path& workspace, const std::vector<fs::path>& disk_workspaces,
                          const fs::path& scratch, const std::shared_ptr<image::RateLimiter>& limiter,
                          FinishedDevices& devices, Record& record, const os::StopToken& stop) {
  const contract::Manifest& manifest = job.parsed.manifest;
  std::size_t count = verified.disks.size();
  Converted converted;
  converted.results.resize(count);
  for (std::size_t i = 0; i < count; ++i)
    converted.partials.push_back(
        verified.disks[i].is_device
            ? verified.disks[i].final_name
            : disk_workspaces[i] / fmt::format("disk-{}.{}", i, contract::to_string(manifest.output.format)));

  bool opens_guest = manifest.pipeline.fix.enabled || manifest.pipeline.inspect.enabled;
  std::vector<fs::path> overlays;
  if (opens_guest) overlays = make_overlays(verified, workspace);

  std::promise<void> repair_promise;
  std::shared_future<void> repaired = repair_promise.get_future().share();
  Together stages(stop);
  stages.start([&](const os::StopToken& inner) {
    if (opens_guest) {
      fs::path guest_scratch = make_private(scratch / "guest");
      converted.answer =
          manifest.pipeline.fix.enabled
              ? run_fix(job, settings, verified, guest::Mode::kRepair, overlays, guest_scratch, record, inner)
              : run_inspection(job, settings, verified, overlays, guest_scratch, record, inner);
    }
    repair_promise.set_value();
  });
  stages.start([&](const os::StopToken& inner) {
    record.stage("convert", [&] {
      std::size_t at_once = std::min(count, kDisksAtOnce);
      // So many threads in all, however many disks.
      const unsigned threads_each = std::max(2u, image::usual_threads() / static_cast<unsigned>(at_once));
      ProgressMeter meter("convert", count, record.events());
      DiskQueue queue(count);
      Together threads(inner);
      for (std::size_t thread = 0; thread < at_once; ++thread)
        threads.start([&](const os::StopToken& disk_stop) {
          while (auto index = queue.next()) {
            std::size_t i = *index;
            try {
              image::ConversionOptions options;
              options.format = manifest.output.format;
              options.compress = manifest.pipeline.convert.compress;
              if (manifest.pipeline.convert.compression == contract::Compression::kZstd)
                options.compression = image::ClusterCompression::kZstd;
              options.compress_level = manifest.pipeline.convert.compress_level;
              options.expected_sha256 = manifest.disks[i].sha256;
              options.digest_source = manifest.options.attest;
              options.check_grains = settings.check_grains;
              options.limiter = limiter;
              options.threads = threads_each;
              options.scratch = make_private(scratch / fmt::format("d{}", i));
              auto conversion =
                  image::Conversion::create(verified.disks[i].source, converted.partials[i], options);
              conversion->copy([&](std::uint64_t done, std::uint64_t total) { meter.update(i, done, total); },
                               disk_stop);
              wait_for_repair(repaired, disk_stop);
              if (manifest.pipeline.fix.enabled) conversion->apply_overlay(overlays[i], disk_stop);
              converted.results[i] = conversion->finish();
              if (verified.disks[i].is_device) devices.add(verified.disks[i].final_name);
            } catch (const os::Error& error) {
              throw name_the_reason(error, stop)
                  .with_context(error.kind() == os::ErrorKind::kCancelled ? "" : manifest.disks[i].id);
            }
          }
        });
      threads.wait();
      return convert_result(job, converted.results);
    });
  });
  stages.wait();
  // The overlays have done their work and would only take up space while the rest runs.
  std::error_code ignored;
  for (const fs::path& overlay : overlays) fs::remove(overlay, ignored);
  return converted;
}

guest::Answer look_only(const Job& job, const Settings& settings, const Verified& verified, guest::Mode mode,
                        const fs::path& scratch, Record& record, const os::StopToken& stop) {
  // Even to look takes an overlay: a journal is replayed there and not in the source.
  std::vector<fs::path> overlays = make_overlays(verified, scratch);
  fs::path guest_scratch = make_private(scratch / "guest");
  if (mode == guest::Mode::kInspect)
    return run_inspection(job, settings, verified, overlays, guest_scratch, record, stop)
        .value_or(guest::Answer{});
  return run_fix(job, settings, verified, mode, overlays, guest_scratch, record, stop);
}

}  // namespace hyper2kvm::pipeline
