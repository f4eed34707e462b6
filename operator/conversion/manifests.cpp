#include "operator/conversion/manifests.h"

#include <algorithm>
#include <cmath>

#include "operator/conversion/registration.h"
#include "operator/conversion/words.h"

namespace hyper2kvm::conversion {
namespace {

constexpr const char* kSourceFolder = "/source";
constexpr const char* kKeyFolder = "/credentials/keys";
// What KubeVirt looks for in a claim.
constexpr const char* kDiskImage = "disk.img";
constexpr const char* kTerminationPath = "/dev/termination-log";
constexpr std::int64_t kUser = 10001;
// Where the disk goes to a device, the folder has the report and what is half made of the repair.
constexpr const char* kReportLimit = "1Gi";
// A conversion that is told to stop removes what it has half made.
constexpr int kGraceSeconds = 60;
// Of a file system's size, what it needs for itself: the default of CDI's filesystemOverhead.
constexpr double kFilesystemOverhead = 0.06;
constexpr double kMebibyte = 1u << 20;

Json metadata(const Conversion& conversion, const std::string& name) {
  return {{"name", name},
          {"namespace", conversion.key.name_space},
          {"labels",
           {{"app.kubernetes.io/name", "hyper2kvm"},
            {kManagedByLabel, kOperatorName},
            {kConversionLabel, conversion.uid}}},
          {"annotations", {{kConversionAnnotation, conversion.key.name}}}};
}

Json default_resources() {
  return {{"requests", {{"cpu", "500m"}, {"memory", "512Mi"}}},
          {"limits", {{"cpu", "4"}, {"memory", "4Gi"}}}};
}

// What the object says over the input's own words. A conversion converts, whatever stages a manifest has on.
Json overrides_of(const Spec& spec) {
  Json pipeline = spec.pipeline.is_object() ? spec.pipeline : Json::object();
  pipeline["convert"]["enabled"] = true;
  if (spec.compress) pipeline["convert"]["compress"] = true;
  // A guest that is not to be repaired is not to be opened either, unless that is asked for.
  bool fixes = kube::flag_at(pipeline, {"fix", "enabled"}, true);
  if (!fixes && kube::find_at(pipeline, {"inspect", "enabled"}) == nullptr)
    pipeline["inspect"]["enabled"] = false;
  Json overrides = {{"pipeline", pipeline}};
  if (spec.libvirt) overrides["libvirt"] = libvirt_section(*spec.libvirt);
  Json vm = spec.vm.is_object() ? spec.vm : Json::object();
  vm.erase("name");  // an option of its own
  if (!vm.empty()) overrides["vm"] = vm;
  return overrides;
}

bool registers_with_libvirt(const Spec& spec, Work work) {
  return spec.libvirt.has_value() && work == Work::kConvert;
}

// A survey only asks how large the disks are.
bool opens_encrypted(const Spec& spec, Work work) {
  return !spec.key_secret.empty() && work != Work::kSurvey;
}

// A secret that the runner reads.
struct SecretVolume {
  std::string name, secret;
  const char* place;  // in the container
};

std::vector<SecretVolume> secret_volumes(const Spec& spec, Work work) {
  std::vector<SecretVolume> volumes;
  if (registers_with_libvirt(spec, work))
    volumes.push_back({"libvirt", spec.libvirt->secret, kLibvirtFolder});
  if (opens_encrypted(spec, work)) volumes.push_back({"keys", spec.key_secret, kKeyFolder});
  return volumes;
}

// A claim that the runner writes to.
struct OutputVolume {
  std::string name, claim;
  bool is_block = false;
  std::string place;  // in the container
};

std::vector<OutputVolume> output_volumes(const Conversion& conversion, BlockVolumes block, Work work) {
  std::vector<OutputVolume> volumes;
  if (work == Work::kSurvey) return volumes;
  if (!conversion.makes_a_claim_for_each_disk()) {
    if (block.output)
      volumes.push_back({"device", conversion.output_claim_name(), true, kOutputDevice});
    else
      volumes.push_back({"output", conversion.output_claim_name(), false, kOutputFolder});
    return volumes;
  }
  for (std::size_t disk = 0; disk < conversion.status.disks.size(); ++disk) {
    const bool is_block = conversion.disk_is_block(disk);
    volumes.push_back({"disk-" + std::to_string(disk), conversion.status.disks[disk].claim_name, is_block,
                       is_block ? disk_device(disk) : disk_folder(disk)});
  }
  return volumes;
}

Json make_container(const Conversion& conversion, const RunnerDefaults& defaults, BlockVolumes block,
                    Work work) {
  const Spec& spec = conversion.spec;
  Json container = {
      {"name", kRunnerContainer},
      {"image", spec.image.empty() ? defaults.image : spec.image},
      {"command", runner_command(conversion, block, work)},
      {"workingDir", kOutputFolder},
      // The appliance's memory is a file that is mapped executable: a tmpfs is what allows that everywhere.
      {"env", Json::array({{{"name", "TMPDIR"}, {"value", "/tmp"}}})},
      {"resources", spec.resources.is_object() ? spec.resources : default_resources()},
      {"terminationMessagePath", kTerminationPath},
      // Without a message of ours (a crash) the end of the log says more than nothing.
      {"terminationMessagePolicy", "FallbackToLogsOnError"},
      {"securityContext",
       {{"allowPrivilegeEscalation", false},
        {"capabilities", {{"drop", {"ALL"}}}},
        {"readOnlyRootFilesystem", true},
        {"runAsNonRoot", true}}},
      {"volumeMounts", Json::array({{{"name", "source"}, {"mountPath", kSourceFolder}, {"readOnly", true}},
                                    {{"name", "output"}, {"mountPath", kOutputFolder}},
                                    {{"name", "memory"}, {"mountPath", "/tmp"}}})}};
  if (block.source) {
    container["volumeMounts"].erase(0);
    container["volumeDevices"].push_back({{"name", "source"}, {"devicePath", kSourceDevice}});
  }
  for (const OutputVolume& volume : output_volumes(conversion, block, work)) {
    if (volume.is_block)
      container["volumeDevices"].push_back({{"name", volume.name}, {"devicePath", volume.place}});
    else if (volume.place != kOutputFolder)
      container["volumeMounts"].push_back({{"name", volume.name}, {"mountPath", volume.place}});
  }
  for (const SecretVolume& volume : secret_volumes(spec, work))
    container["volumeMounts"].push_back(
        {{"name", volume.name}, {"mountPath", volume.place}, {"readOnly", true}});
  if (!spec.image_pull_policy.empty()) container["imagePullPolicy"] = spec.image_pull_policy;
  return container;
}

// Off the nodes that have a runner in this slot.
Json keep_apart(std::size_t node_slot, const std::vector<std::string>& namespaces) {
  Json term = {
      {"topologyKey", "kubernetes.io/hostname"},
      {"labelSelector",
       {{"matchLabels", {{kManagedByLabel, kOperatorName}, {kNodeSlotLabel, std::to_string(node_slot)}}}}}};
  // Servers before 1.22 do not know the selector, and look at the runner's own namespace only.
  if (namespaces.empty())
    term["namespaceSelector"] = Json::object();
  else
    term["namespaces"] = namespaces;
  return {{"podAntiAffinity", {{"requiredDuringSchedulingIgnoredDuringExecution", Json::array({term})}}}};
}

}  // namespace

std::string disk_folder(std::size_t disk) { return "/volumes/disk-" + std::to_string(disk); }
std::string disk_device(std::size_t disk) { return "/dev/disk-" + std::to_string(disk); }

std::string job_name(const Conversion& conversion, std::int64_t attempt, Work work) {
  // Pods carry it as a label: 63 bytes, and a pod adds six of its own to make its name.
  std::string name = conversion.key.name.substr(0, 36);
  std::replace(name.begin(), name.end(), '.', '-');
  while (!name.empty() && name.back() == '-') name.pop_back();
  name += "-" + conversion.uid.substr(0, 8) + "-" + std::to_string(attempt);
  return work == Work::kSurvey ? name + "-survey" : name;
}

std::vector<std::string> runner_command(const Conversion& conversion, BlockVolumes block, Work work) {
  const Spec& spec = conversion.spec;
  auto in_source = [](const std::string& path) { return std::string(kSourceFolder) + "/" + path; };
  std::vector<std::string> command = {"hyper2kvm", "convert"};
  auto add = [&command](const std::string& argument) { command.push_back(argument); };
  if (block.source) add(kSourceDevice);
  if (!spec.path.empty()) add(in_source(spec.path));
  for (const std::string& disk : spec.disks) add(in_source(disk));
  const bool has_folder = !block.output && !conversion.makes_a_claim_for_each_disk();
  std::string directory = kOutputFolder;
  if (!has_folder || !spec.kubevirt) directory += "/" + conversion.output_directory();
  add("--output=" + directory);
  if (work == Work::kSurvey) {
    command.insert(command.end(), {"--dry-run", "--no-fix", "--no-report"});
  } else if (conversion.makes_a_claim_for_each_disk()) {
    add("--output-format=raw");
    for (std::size_t disk = 0; disk < conversion.status.disks.size(); ++disk) {
      const std::string of_disk = "=" + conversion.status.disks[disk].id + "=";
      if (conversion.disk_is_block(disk))
        add("--output-device" + of_disk + disk_device(disk));
      else
        add("--output-file" + of_disk + disk_folder(disk) + "/" + kDiskImage);
    }
  } else if (block.output) {
    add("--output-device=" + std::string(kOutputDevice));
  } else if (spec.kubevirt) {
    add("--output-format=raw");
    add("--output-filename=" + std::string(kDiskImage));
  } else if (!spec.format.empty()) {
    add("--output-format=" + spec.format);
  }
  std::string name = kube::text_at(spec.vm, {"name"});
  // A device has no name that says anything of the machine.
  if (name.empty() && block.source) name = conversion.key.name;
  if (!name.empty()) add("--name=" + name);
  add("--override=" + overrides_of(spec).dump());
  if (opens_encrypted(spec, work)) add("--key-directory=" + std::string(kKeyFolder));
  if (!spec.rate_limit.empty()) add("--rate-limit=" + spec.rate_limit);
  add("--log-format=json");
  add("--termination-message=" + std::string(kTerminationPath));
  return command;
}

Json make_job(const Conversion& conversion, std::int64_t attempt, const RunnerDefaults& defaults,
              std::optional<std::size_t> node_slot, BlockVolumes block, Work work) {
  const Spec& spec = conversion.spec;
  Json job = {{"apiVersion", "batch/v1"},
              {"kind", "Job"},
              {"metadata", metadata(conversion, job_name(conversion, attempt, work))}};
  job["metadata"]["labels"][kAttemptLabel] = std::to_string(attempt);
  job["metadata"]["ownerReferences"] = Json::array({{{"apiVersion", kConversions.api_version()},
                                                     {"kind", kConversions.kind},
                                                     {"name", conversion.key.name},
                                                     {"uid", conversion.uid},
                                                     {"controller", true},
                                                     {"blockOwnerDeletion", true}}});
  Json pod = {
      {"restartPolicy", "Never"},
      {"automountServiceAccountToken", false},
      {"enableServiceLinks", false},
      {"terminationGracePeriodSeconds", kGraceSeconds},
      {"securityContext",
       {{"runAsNonRoot", true},
        {"runAsUser", kUser},
        {"runAsGroup", kUser},
        {"fsGroup", kUser},
        // Else the kubelet would walk through every file of a large volume before each start.
        {"fsGroupChangePolicy", "OnRootMismatch"},
        {"seccompProfile", {{"type", "RuntimeDefault"}}}}},
      {"containers", Json::array({make_container(conversion, defaults, block, work)})},
      {"volumes",
       Json::array({{{"name", "source"},
                     {"persistentVolumeClaim", {{"claimName", spec.source_claim}, {"readOnly", true}}}},
                    {{"name", "memory"}, {"emptyDir", {{"medium", "Memory"}, {"sizeLimit", "2Gi"}}}}})}};
  const std::vector<OutputVolume> outputs = output_volumes(conversion, block, work);
  for (const OutputVolume& volume : outputs)
    pod["volumes"].push_back(
        {{"name", volume.name}, {"persistentVolumeClaim", {{"claimName", volume.claim}}}});
  // A secret that is missing keeps no pod waiting: the runner tells which file it lacks.
  for (const SecretVolume& volume : secret_volumes(spec, work))
    pod["volumes"].push_back(
        {{"name", volume.name},
         {"secret", {{"secretName", volume.secret}, {"defaultMode", 0400}, {"optional", true}}}});
  const bool has_folder = !outputs.empty() && outputs[0].place == kOutputFolder;
  if (!has_folder)
    pod["volumes"].push_back({{"name", "output"}, {"emptyDir", {{"sizeLimit", kReportLimit}}}});
  // A claim that is both is mounted once more, under the same name of a volume: the source stays read-only by
  // its mount.
  if (has_folder && spec.source_claim == conversion.output_claim_name()) {
    pod["volumes"].erase(0);
    pod["containers"][0]["volumeMounts"][0]["name"] = "output";
  }
  if (spec.node_selector.is_object()) pod["nodeSelector"] = spec.node_selector;
  if (spec.tolerations.is_array()) pod["tolerations"] = spec.tolerations;
  Json pod_metadata = {{"labels", job["metadata"]["labels"]},
                       {"annotations", job["metadata"]["annotations"]}};
  // Evicting a conversion costs all that it has done.
  pod_metadata["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] = "false";
  if (registers_with_libvirt(spec, work)) pod_metadata["labels"][kRegistersLabel] = "libvirt";
  // The operator retries itself: it knows which failures may pass.
  if (node_slot) {
    pod["affinity"] = keep_apart(*node_slot, defaults.namespaces);
    pod_metadata["labels"][kNodeSlotLabel] = std::to_string(*node_slot);
  }
  job["spec"] = {{"backoffLimit", 0}, {"template", {{"metadata", pod_metadata}, {"spec", pod}}}};
  return job;
}

namespace {

Json claim_from(const Conversion& conversion, const std::string& name, const Json& wanted,
                const std::string& storage) {
  Json claim = {
      {"apiVersion", "v1"}, {"kind", "PersistentVolumeClaim"}, {"metadata", metadata(conversion, name)}};
  Json modes = Json::array({"ReadWriteOnce"});
  if (const Json* given = kube::find_at(wanted, {"accessModes"});
      given != nullptr && given->is_array() && !given->empty())
    modes = *given;
  claim["spec"] = {{"accessModes", modes}, {"resources", {{"requests", {{"storage", storage}}}}}};
  for (const char* word : {"volumeMode", "storageClassName"})
    if (kube::find_at(wanted, {word}) != nullptr) claim["spec"][word] = kube::text_at(wanted, {word});
  return claim;
}

Json data_volume_from(const Conversion& conversion, const std::string& name, const Json& wanted,
                      const std::string& size) {
  Json volume = {{"apiVersion", kDataVolumes.api_version()},
                 {"kind", kDataVolumes.kind},
                 {"metadata", metadata(conversion, name)}};
  volume["metadata"]["annotations"]["cdi.kubevirt.io/storage.bind.immediate.requested"] = "true";
  volume["metadata"]["annotations"]["cdi.kubevirt.io/storage.deleteAfterCompletion"] = "false";
  // The runner's pod is given a device or a directory before there is a claim to ask: CDI must not choose.
  const std::string mode = kube::text_at(wanted, {"volumeMode"});
  Json storage = {{"volumeMode", mode.empty() ? "Filesystem" : mode},
                  {"resources", {{"requests", {{"storage", size}}}}}};
  // What is not said, CDI knows of its storage profiles.
  if (const Json* modes = kube::find_at(wanted, {"accessModes"});
      modes != nullptr && modes->is_array() && !modes->empty())
    storage["accessModes"] = *modes;
  if (kube::find_at(wanted, {"storageClassName"}) != nullptr)
    storage["storageClassName"] = kube::text_at(wanted, {"storageClassName"});
  // An allocated blank disk.img would leave no room for the disk that is written beside it.
  volume["spec"] = {
      {"source", {{"blank", Json::object()}}}, {"preallocation", false}, {"storage", std::move(storage)}};
  return volume;
}

// overhead: the share of the claim that is not the disk's
std::string size_of_disk_claim(const Conversion& conversion, std::size_t disk, double overhead) {
  std::string told = kube::text_at(conversion.disk_claim_template(disk), {"storage"});
  if (!told.empty()) return told;
  const double bytes = static_cast<double>(conversion.status.disks.at(disk).virtual_size_bytes);
  return std::to_string(static_cast<std::uint64_t>(std::ceil(bytes / (1 - overhead) / kMebibyte))) + "Mi";
}

}  // namespace

Json make_claim(const Conversion& conversion) {
  const Json& wanted = *conversion.spec.template_;
  return claim_from(conversion, conversion.output_claim_name(), wanted, kube::text_at(wanted, {"storage"}));
}

Json make_disk_claim(const Conversion& conversion, std::size_t disk) {
  return claim_from(
      conversion, conversion.status.disks.at(disk).claim_name, conversion.disk_claim_template(disk),
      size_of_disk_claim(conversion, disk, conversion.disk_is_block(disk) ? 0 : kFilesystemOverhead));
}

Json make_data_volume(const Conversion& conversion) {
  const Json& wanted = *conversion.spec.template_;
  return data_volume_from(conversion, conversion.output_claim_name(), wanted,
                          kube::text_at(wanted, {"storage"}));
}

Json make_disk_data_volume(const Conversion& conversion, std::size_t disk) {
  return data_volume_from(conversion, conversion.status.disks.at(disk).claim_name,
                          conversion.disk_claim_template(disk), size_of_disk_claim(conversion, disk, 0));
}

}  // namespace hyper2kvm::conversion
