// The fixtures of the tests beside this file: the operator against a real API server, etcd and
// controller-manager. There is no node: the test plays the kubelet, by writing the status of the runners'
// pods.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "operator/conversion/conversion.h"
#include "operator/conversion/words.h"
#include "runner/contract/termination.h"
#include "runner/os/error.h"
#include "tests/e2e/kube/world.h"

namespace hyper2kvm::conversion {

using kube::eventually;
using kube::text_at;

inline std::string argument(const std::string& name) {
  for (const std::string& given : testing::internal::GetArgvs())
    if (given.rfind(name + "=", 0) == 0) return given.substr(name.size() + 1);
  throw std::runtime_error(name + "=... is missing");
}

class Conversions : public kube::World {
 protected:
  void SetUp() override {
    ASSERT_NE(std::getenv("CLUSTER_SCRIPTS"), nullptr) << "to be run by with-cluster.sh";
    // An old kubectl does not know the CEL rules.
    kubectl({"apply", "--validate=false", "-f", argument("--definition")});
    ASSERT_TRUE(eventually([&] {
      try {
        client.list(kConversions, in_namespace());
        return true;
      } catch (const kube::ApiError&) {
        return false;
      }
    }));
    for (const char* claim : {"exports", "disks"})
      client.create(
          kube::types::kPersistentVolumeClaims,
          {{"metadata", {{"name", claim}, {"namespace", name_space}}},
           {"spec",
            {{"accessModes", {"ReadWriteOnce"}}, {"resources", {{"requests", {{"storage", "1Gi"}}}}}}}});
  }

  void TearDown() override {
    node_.request_stop();
    operators_.clear();
    // Nobody is there any more who would take the finalizers off.
    for (const Json& one : client.list(kConversions, in_namespace()))
      client.patch(kConversions, kube::key_of(one), kube::PatchKind::kMerge,
                   {{"metadata", {{"finalizers", nullptr}}}});
  }

  static std::string kubectl(const std::vector<std::string>& words) {
    os::ProcessOptions options;
    options.arguments = {std::string(std::getenv("CLUSTER_SCRIPTS")) + "/kubectl.sh"};
    options.arguments.insert(options.arguments.end(), words.begin(), words.end());
    return os::run_program(options);
  }

  kube::ListOptions in_namespace() const {
    kube::ListOptions options;
    options.name_space = name_space;
    return options;
  }

  os::Process& start_operator(std::vector<std::string> more = {}) {
    os::ProcessOptions options;
    options.arguments = {argument("--operator"), "--runner-image=runner:1", "--namespace=" + name_space,
                         "--metrics-address=0", "--health-address=0"};
    options.arguments.insert(options.arguments.end(), more.begin(), more.end());
    operators_.push_back(std::make_unique<os::Process>(os::Process::start(options)));
    return *operators_.back();
  }

  void add(const std::string& name, const Json& spec = Json::object()) {
    Json object = {{"apiVersion", kConversions.api_version()},
                   {"kind", kConversions.kind},
                   {"metadata", {{"name", name}, {"namespace", name_space}}},
                   {"spec",
                    {{"source", {{"persistentVolumeClaim", {{"claimName", "exports"}}}, {"path", "web.ova"}}},
                     {"output", {{"persistentVolumeClaim", {{"claimName", "disks"}}}}}}}};
    object["spec"].merge_patch(spec);
    client.create(kConversions, object);
  }
  Status status_of(const std::string& name) { return read_status(client.get(kConversions, key(name))); }
  bool becomes(const std::string& name, Phase phase) {
    return eventually([&] { return status_of(name).phase == phase; });
  }
  std::string reason_of(const std::string& name, const char* condition) {
    return kube::find_condition(status_of(name).conditions, condition).value_or(kube::Condition{}).reason;
  }
  std::vector<Json> jobs() { return client.list(kube::types::kJobs, in_namespace()); }
  std::vector<Json> pods() { return client.list(kube::types::kPods, in_namespace()); }
  static bool has_ended(const Json& pod) {
    std::string phase = text_at(pod, {"status", "phase"});
    return phase == "Succeeded" || phase == "Failed";
  }

  // Ends a runner, as a kubelet would report it.
  void end(const Json& pod, const contract::Report& report, bool may_pass = false) {
    Json ended = {{"exitCode", report.success ? 0 : 1},
                  {"reason", report.success ? "Completed" : "Error"},
                  {"message", contract::to_termination_message(report, may_pass)}};
    Json container = {{"name", kRunnerContainer}, {"image", "runner:1"}, {"imageID", ""},
                      {"ready", false},           {"restartCount", 0},   {"state", {{"terminated", ended}}}};
    client.patch(kube::types::kPods, kube::key_of(pod), kube::PatchKind::kMerge,
                 {{"status",
                   {{"phase", report.success ? "Succeeded" : "Failed"}, {"containerStatuses", {container}}}}},
                 "status");
  }
  static contract::Report success() {
    contract::Report report;
    report.success = true;
    report.artifacts.push_back({.path = "/output/x/disk-0.qcow2", .disk_id = "disk-0", .format = "qcow2"});
    return report;
  }
  // The same of a runner that says what a machine needs, or which domain it made, as it must where one is
  // registered.
  static contract::Report success_with_machine() {
    contract::Report report = success();
    report.artifacts[0].path = "/output/disk.img";
    report.artifacts[0].format = "raw";
    report.machine = contract::MachineFacts{.name = "web",
                                            .cpus = 2,
                                            .mem_gb = 4,
                                            .firmware = contract::Firmware::kBios,
                                            .virtio = true,
                                            .nics = {{.mac = "00:50:56:aa:bb:cc", .network = "VM Network"}},
                                            .total_nics = 1};
    report.stages.push_back({.name = "register", .success = true, .result = {{"domain", "web"}}});
    return report;
  }
  // Of a runner that only looks which disks there are: the n-th of n GiB.
  static contract::Report survey(std::uint64_t disks) {
    contract::Report report;
    report.success = true;
    for (std::uint64_t i = 0; i < disks; ++i)
      report.artifacts.push_back({.type = contract::kPlannedDisk,
                                  .path = "/output/web/disk.raw",
                                  .disk_id = "disk-" + std::to_string(i),
                                  .format = "raw",
                                  .virtual_size_bytes = (i + 1) << 30});
    return report;
  }
  static contract::Report failure(const std::string& stage, const std::string& sentence) {
    contract::Report report;
    report.errors.push_back({stage, sentence, {}});
    return report;
  }

  // There is no CDI: of each DataVolume whose owner asked for it, a claim that belongs to it, and its phase.
  void play_cdi() {
    for (const Json& volume : client.list(kDataVolumes, in_namespace())) {
      if (kube::is_being_deleted(volume) || text_at(volume, {"status", "phase"}) == "Succeeded") continue;
      const Json& asked = volume["spec"]["storage"];
      Json owner = {{"apiVersion", kDataVolumes.api_version()},
                    {"kind", kDataVolumes.kind},
                    {"name", kube::key_of(volume).name},
                    {"uid", kube::uid_of(volume)},
                    {"controller", true},
                    {"blockOwnerDeletion", true}};
      client.create_or_get(kube::types::kPersistentVolumeClaims,
                           {{"metadata",
                             {{"name", kube::key_of(volume).name},
                              {"namespace", name_space},
                              {"ownerReferences", Json::array({owner})}}},
                            {"spec",
                             {{"accessModes", {"ReadWriteOnce"}},
                              {"volumeMode", asked["volumeMode"]},
                              {"resources", asked["resources"]}}}});
      client.patch(kDataVolumes, kube::key_of(volume), kube::PatchKind::kMerge,
                   {{"status", {{"phase", "Succeeded"}}}}, "status");
    }
  }

  // A node on which every runner succeeds. Notes how many there were at once.
  void start_node() {
    node_ = std::jthread([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        try {
          std::vector<Json> running;
          for (Json& pod : pods())
            if (!has_ended(pod) && !kube::is_being_deleted(pod)) running.push_back(std::move(pod));
          most_at_once_ = std::max<std::size_t>(most_at_once_, running.size());
          for (const Json& pod : running) end(pod, success());
        } catch (const os::Error&) {
          // The server is restarted, or the pod is gone by now.
        }
      }
    });
  }
  std::size_t most_at_once() const { return most_at_once_; }

 private:
  std::vector<std::unique_ptr<os::Process>> operators_;
  std::atomic<std::size_t> most_at_once_ = 0;
  std::jthread node_;
};

// KubeVirt's own definition, where the environment says where it is; no KubeVirt runs.
class Registrations : public Conversions {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("HYPER2KVM_KUBEVIRT_CRDS");
    if (folder == nullptr)
      GTEST_SKIP() << "HYPER2KVM_KUBEVIRT_CRDS does not name a folder with the CRDs of KubeVirt";
    Conversions::SetUp();
    definition_ = std::string(folder) + "/virtualmachines.kubevirt.io.yaml";
    cdi_ = std::string(folder) + "/datavolumes.cdi.kubevirt.io.yaml";
  }
  // `create`: the definition is larger than what `apply` can note in an annotation.
  void install_kubevirt() { kubectl({"create", "-f", definition_}); }
  void remove_kubevirt() { kubectl({"delete", "--ignore-not-found", "-f", definition_}); }
  void install_cdi() { kubectl({"create", "-f", cdi_}); }
  void TearDown() override {
    if (definition_.empty()) return;
    Conversions::TearDown();
    remove_kubevirt();
    kubectl({"delete", "--ignore-not-found", "-f", cdi_});
  }

 private:
  std::string definition_, cdi_;
};

}  // namespace hyper2kvm::conversion
