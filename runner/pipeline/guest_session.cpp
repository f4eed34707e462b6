#include "runner/pipeline/guest_session.h"

#include <string>

#include "runner/appliance/appliance.h"
#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::pipeline {
namespace {

// cryptsetup takes a key file as it is, people write passphrases with an editor that ends the line: both are
// tried.
std::vector<guest::VolumeKey> read_keys(const std::vector<KeyFile>& files) {
  constexpr std::size_t kLongestKey = 8 << 20;
  std::vector<guest::VolumeKey> keys;
  for (const KeyFile& file : files) {
    std::string secret = os::read_text(file.path, kLongestKey);
    keys.push_back({file.device, secret});
    if (!secret.empty() && secret.back() == '\n') {
      secret.pop_back();
      keys.push_back({file.device, secret});
    }
  }
  return keys;
}

}  // namespace

guest::Answer open_guest(const Job& job, const Settings& settings, const Verified& verified, guest::Mode mode,
                         const std::vector<std::filesystem::path>& overlays,
                         const std::filesystem::path& scratch, const std::string& stage, Record& record,
                         const os::StopToken& stop) {
  const contract::Manifest& manifest = job.parsed.manifest;
  guest::Request request;
  request.mode = mode;
  request.fix = manifest.pipeline.fix;
  request.configuration = manifest.configuration;
  request.nics = manifest.nics;
  request.root = settings.guest_root.empty() ? manifest.pipeline.fix.root : settings.guest_root;
  request.keys = read_keys(settings.keys);
  request.disk_count = verified.disks.size();

  appliance::Session session;
  session.installation = appliance::find_installation();
  session.limits.memory_bytes = settings.appliance_memory;
  session.limits.time = settings.appliance_time;
  session.scratch = scratch;
  for (std::size_t i = 0; i < verified.disks.size(); ++i) {
    const image::SourceImage& source = verified.disks[i].source;
    session.disks.push_back({source.node_name, source.blockdevs, overlays[i], source.files});
  }
  guest::Answer answer =
      appliance::run(session, request, stop, [&](const std::string& text) { record.info(stage, text); });
  for (const std::string& warning : answer.warnings) record.warning(stage, warning);
  record.boot_facts(answer.boot_facts);
  if (!answer.success) throw os::Error(os::ErrorKind::kInvalid, manifest.source.vm_name, answer.error);
  return answer;
}

}  // namespace hyper2kvm::pipeline
