#include "operator/conversion/manifests.h"

#include <algorithm>

#include "operator/conversion/words.h"

namespace hyper2kvm::conversion {
namespace {

constexpr const char* kSourceFolder = "/source";
constexpr const char* kTerminationPath = "/dev/termination-log";
constexpr std::int64_t kUser = 10001;
// Where the disk goes to a device, the folder has the report and what is half made of the repair.
constexpr const char* kReportLimit = "1Gi";
// A conversion that is told to stop removes what it has half made.
constexpr int kGraceSeconds = 60;

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
  Json vm = spec.vm.is_object() ? spec.vm : Json::object();
  vm.erase("name");  // an option of its own
  if (!vm.empty()) overrides["vm"] = vm;
  return overrides;
}

Json make_container(const Conversion& conversion, const RunnerDefaults& defaults, BlockVolumes block) {
  const Spec& spec = conversion.spec;
  Json container = {
      {"name", kRunnerContainer},
      {"image", spec.image.empty() ? defaults.image : spec.image},
      {"command", runner_command(conversion, block)},
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
  if (block.output) container["volumeDevices"].push_back({{"name", "device"}, {"devicePath", kOutputDevice}});
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

std::string job_name(const Conversion& conversion, std::int64_t attempt) {
  // Pods carry it as a label: 63 bytes, and a pod adds six of its own to make its name.
  std::string name = conversion.key.name.substr(0, 36);
  std::replace(name.begin(), name.end(), '.', '-');
  while (!name.empty() && name.back() == '-') name.pop_back();
  return name + "-" + conversion.uid.substr(0, 8) + "-" + std::to_string(attempt);
}

std::vector<std::string> runner_command(const Conversion& conversion, BlockVolumes block) {
  const Spec& spec = conversion.spec;
  auto in_source = [](const std::string& path) { return std::string(kSourceFolder) + "/" + path; };
  std::vector<std::string> command = {"hyper2kvm", "convert"};
  if (block.source) command.emplace_back(kSourceDevice);
  if (!spec.path.empty()) command.push_back(in_source(spec.path));
  for (const std::string& disk : spec.disks) command.push_back(in_source(disk));
  std::string directory = kOutputFolder;
  if (!spec.kubevirt || block.output) directory += "/" + conversion.output_directory();
  command.push_back("--output=" + directory);
  if (block.output)
    command.push_back("--output-device=" + std::string(kOutputDevice));
  else if (spec.kubevirt)
    // What KubeVirt looks for in a claim.
    command.insert(command.end(), {"--output-format=raw", "--output-filename=disk.img"});
  else if (!spec.format.empty())
    command.push_back("--output-format=" + spec.format);
  std::string name = kube::text_at(spec.vm, {"name"});
  // A device has no name that says anything of the machine.
  if (name.empty() && block.source) name = conversion.key.name;
  if (!name.empty()) command.push_back("--name=" + name);
  command.push_back("--override=" + overrides_of(spec).dump());
  if (!spec.rate_limit.empty()) command.push_back("--rate-limit=" + spec.rate_limit);
  command.push_back("--log-format=json");
  command.push_back("--termination-message=" + std::string(kTerminationPath));
  return command;
}

Json make_job(const Conversion& conversion, std::int64_t attempt, const RunnerDefaults& defaults,
              std::optional<std::size_t> node_slot, BlockVolumes block) {
  const Spec& spec = conversion.spec;
  Json job = {{"apiVersion", "batch/v1"},
              {"kind", "Job"},
              {"metadata", metadata(conversion, job_name(conversion, attempt))}};
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
      {"containers", Json::array({make_container(conversion, defaults, block)})},
      {"volumes",
       Json::array(
           {{{"name", "source"},
             {"persistentVolumeClaim", {{"claimName", spec.source_claim}, {"readOnly", true}}}},
            {{"name", "output"}, {"persistentVolumeClaim", {{"claimName", conversion.output_claim_name()}}}},
            {{"name", "memory"}, {"emptyDir", {{"medium", "Memory"}, {"sizeLimit", "2Gi"}}}}})}};
  if (block.output) {
    pod["volumes"][1]["name"] = "device";
    pod["volumes"].push_back({{"name", "output"}, {"emptyDir", {{"sizeLimit", kReportLimit}}}});
  }
  // A claim that is both is mounted once more, under the same name of a volume: the source stays read-only by
  // its mount.
  if (spec.source_claim == conversion.output_claim_name()) {
    pod["volumes"].erase(0);
    pod["containers"][0]["volumeMounts"][0]["name"] = "output";
  }
  if (spec.node_selector.is_object()) pod["nodeSelector"] = spec.node_selector;
  if (spec.tolerations.is_array()) pod["tolerations"] = spec.tolerations;
  Json pod_metadata = {{"labels", job["metadata"]["labels"]},
                       {"annotations", job["metadata"]["annotations"]}};
  // Evicting a conversion costs all that it has done.
  pod_metadata["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] = "false";
  // The operator retries itself: it knows which failures may pass.
  if (node_slot) {
    pod["affinity"] = keep_apart(*node_slot, defaults.namespaces);
    pod_metadata["labels"][kNodeSlotLabel] = std::to_string(*node_slot);
  }
  job["spec"] = {{"backoffLimit", 0}, {"template", {{"metadata", pod_metadata}, {"spec", pod}}}};
  return job;
}

Json make_claim(const Conversion& conversion) {
  const Json& wanted = *conversion.spec.template_;
  Json claim = {{"apiVersion", "v1"},
                {"kind", "PersistentVolumeClaim"},
                {"metadata", metadata(conversion, conversion.output_claim_name())}};
  Json modes = Json::array({"ReadWriteOnce"});
  if (const Json* given = kube::find_at(wanted, {"accessModes"});
      given != nullptr && given->is_array() && !given->empty())
    modes = *given;
  claim["spec"] = {{"accessModes", modes},
                   {"resources", {{"requests", {{"storage", kube::text_at(wanted, {"storage"})}}}}}};
  if (kube::find_at(wanted, {"volumeMode"}) != nullptr)
    claim["spec"]["volumeMode"] = kube::text_at(wanted, {"volumeMode"});
  if (kube::find_at(wanted, {"storageClassName"}) != nullptr)
    claim["spec"]["storageClassName"] = kube::text_at(wanted, {"storageClassName"});
  return claim;
}

}  // namespace hyper2kvm::conversion
