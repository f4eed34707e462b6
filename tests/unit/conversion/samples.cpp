#include "tests/unit/conversion/samples.h"

#include "operator/conversion/manifests.h"
#include "operator/conversion/words.h"
#include "operator/kube/timestamp.h"

namespace hyper2kvm::conversion {

Json sample_object() {
  return Json::parse(R"({
    "apiVersion": "hyper2kvm.io/v1alpha1", "kind": "VMConversion",
    "metadata": {"name": "web", "namespace": "vms", "uid": "0123456789abcdef", "resourceVersion": "7",
                 "generation": 1, "creationTimestamp": "2026-01-31T12:00:00Z",
                 "finalizers": ["hyper2kvm.io/clean-up"]},
    "spec": {"source": {"persistentVolumeClaim": {"claimName": "exports"}, "path": "web/web.ova"},
             "output": {"persistentVolumeClaim": {"claimName": "disks"}},
             "retry": {"limit": 3, "backoffSeconds": 10}, "suspend": false}})");
}

Conversion sample() { return read_conversion(sample_object()); }

Observed observed(const Conversion& conversion) {
  Observed seen;
  seen.conversion = conversion;
  seen.source_claim =
      ClaimView{{conversion.key.name_space, conversion.spec.source_claim}, "c1", "", false, false};
  seen.output_claim =
      ClaimView{{conversion.key.name_space, conversion.output_claim_name()}, "c2", "", false, false};
  seen.may_start = true;
  seen.now = *kube::parse_time("2026-01-31T13:00:00Z");
  return seen;
}

JobView job_of(const Conversion& conversion) {
  JobView job;
  job.key = {conversion.key.name_space, conversion.status.job_name};
  job.uid = "job-" + conversion.status.job_name;
  job.conversion_uid = conversion.uid;
  job.conversion_name = conversion.key.name;
  return job;
}

PodView pod_of(const Conversion& conversion) {
  PodView pod;
  pod.key = {conversion.key.name_space, conversion.status.job_name + "-abcde"};
  pod.uid = "pod";
  pod.conversion_uid = conversion.uid;
  pod.conversion_name = conversion.key.name;
  pod.job_name = conversion.status.job_name;
  pod.node = "node1";
  pod.phase = "Running";
  pod.has_started = true;
  return pod;
}

Observed running() {
  Observed seen = observed(sample());
  seen.conversion.status = decide(seen).status;
  seen.jobs = {job_of(seen.conversion)};
  seen.conversion.status = decide(seen).status;
  seen.pods = {pod_of(seen.conversion)};
  return seen;
}

std::string success_message() {
  contract::Report report;
  report.success = true;
  report.artifacts.push_back(
      {.path = "/output/web/disk-0.qcow2", .disk_id = "disk-0", .format = "qcow2", .size_bytes = 4096});
  report.machine = contract::MachineFacts{.name = "web", .cpus = 2, .mem_gb = 4, .virtio = true};
  return contract::to_termination_message(report);
}

std::string survey_message(std::size_t disks) {
  contract::Report report;
  report.success = true;
  for (std::size_t i = 0; i < disks; ++i)
    report.artifacts.push_back({.type = contract::kPlannedDisk,
                                .path = "/output/web/disk-" + std::to_string(i) + ".raw",
                                .disk_id = "disk-" + std::to_string(i),
                                .format = "raw",
                                .virtual_size_bytes = std::uint64_t{i + 1} << 30,
                                .boot_order_hint = static_cast<int>(disks - i)});
  return contract::to_termination_message(report);
}

std::string failure_message(const std::string& stage, const std::string& error, bool may_pass) {
  contract::Report report;
  report.errors.push_back({stage, error, {}});
  return contract::to_termination_message(report, may_pass);
}

PodView ended(PodView pod, int exit_code, const std::string& message) {
  pod.phase = exit_code == 0 ? "Succeeded" : "Failed";
  pod.terminated = PodView::Termination{exit_code, 0, exit_code == 0 ? "Completed" : "Error", message};
  return pod;
}

Observed after_its_runner(Observed seen, int exit_code, const std::string& message) {
  seen.conversion.status = decide(seen).status;
  seen.jobs = {job_of(seen.conversion)};
  seen.pods = {ended(pod_of(seen.conversion), exit_code, message)};
  return seen;
}

std::string reason_of(const Status& status, const char* condition) {
  return kube::find_condition(status.conditions, condition).value_or(kube::Condition{}).reason;
}
std::string value_of(const Status& status, const char* condition) {
  return kube::find_condition(status.conditions, condition).value_or(kube::Condition{}).status;
}

}  // namespace hyper2kvm::conversion
