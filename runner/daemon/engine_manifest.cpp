#include "runner/daemon/engine_manifest.h"

namespace hyper2kvm::daemon {

std::filesystem::path machine_directory(const Settings& settings, const Job& job) {
  return settings.output_dir / "machines" / job.result_name;
}

contract::Manifest engine_manifest(const contract::ParsedManifest& submitted, const Job& job,
                                   const Settings& settings) {
  contract::Manifest manifest = submitted.manifest;
  for (std::size_t i = 0; i < manifest.disks.size() && i < job.disks.size(); ++i)
    manifest.disks[i].local_path = job.disks[i];
  manifest.output.directory = machine_directory(settings, job).string();
  manifest.output.files.clear();
  if (settings.convert.format && manifest.output.format == contract::OutputFormat::kQcow2)
    manifest.output.format = *settings.convert.format;

  contract::ConvertStage& convert = manifest.pipeline.convert;
  if (settings.convert.compress) convert.compress = true;
  if (settings.convert.compression && convert.compression == contract::Compression::kDeflate)
    convert.compression = *settings.convert.compression;
  if (!convert.compress_level) {
    if (settings.compress_level == 0)
      convert.compress = false;
    else
      convert.compress_level = settings.compress_level;
  }
  if (manifest.output.format != contract::OutputFormat::kQcow2) convert.compress = false;

  // The report is how an attempt is known to have succeeded, also after a crash.
  manifest.options.report_enabled = true;
  // A source is only ever removed after its result was read back and found sound.
  if (settings.cleanup_source && convert.enabled) {
    manifest.pipeline.validate.enabled = true;
    manifest.pipeline.validate.check_image_integrity = true;
  }

  if (!manifest.libvirt && settings.libvirt.integration && convert.enabled && !manifest.options.dry_run) {
    contract::Libvirt libvirt;
    libvirt.enabled = true;
    libvirt.uri = settings.libvirt.uri;
    libvirt.pool = settings.libvirt.pool;
    libvirt.bridge = settings.libvirt.bridge;
    libvirt.autostart = settings.libvirt.autostart;
    manifest.libvirt = libvirt;
  }
  // An attempt that was cut off while it registered may have defined the machine already. Before the first
  // attempt there was none of that name, or it would have been refused; so what stands there now is ours.
  if (manifest.libvirt && job.register_begun) manifest.libvirt->overwrite = true;
  return manifest;
}

std::uint64_t estimated_output_bytes(const Job& job) {
  constexpr std::uint64_t kReserve = 64ull << 20;
  return job.source_bytes + job.source_bytes / 10 + kReserve;
}

}  // namespace hyper2kvm::daemon
