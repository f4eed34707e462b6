// What a VMConversion becomes: Jobs, claims, machines, conditions. What is asserted is what stands in the
// cluster.
#include "operator/conversion/conversion.h"

#include <gmock/gmock.h>
#include <signal.h>

#include "operator/kube/timestamp.h"
#include "tests/e2e/conversion/conversions.h"

namespace hyper2kvm::conversion {
namespace {

using std::chrono::seconds;

TEST_F(Conversions, OneBecomesAJobAndThenReady) {
  start_operator();
  add("web",
      {{"output", {{"persistentVolumeClaim", nullptr}, {"volumeClaimTemplate", {{"storage", "1Gi"}}}}}});
  ASSERT_TRUE(eventually([&] { return pods().size() == 1; }));
  EXPECT_EQ(jobs().size(), 1u);
  EXPECT_TRUE(client.find(kube::types::kPersistentVolumeClaims, key("web-disks")));
  EXPECT_TRUE(eventually([&] { return reason_of("web", "Running") == "Unschedulable"; }))
      << "there is no node";
  end(pods()[0], success());
  ASSERT_TRUE(becomes("web", Phase::kSucceeded));
  EXPECT_EQ(status_of("web").target, "web-disks/web");
  EXPECT_EQ(status_of("web").attempts, 1);
  // The Job goes with the conversion, the disks stay.
  client.remove(kConversions, key("web"));
  EXPECT_TRUE(
      eventually([&] { return !client.find(kConversions, key("web")) && jobs().empty() && pods().empty(); }));
  EXPECT_TRUE(client.find(kube::types::kPersistentVolumeClaims, key("web-disks")));
  // What happened is told as Events.
  std::set<std::string> reasons;
  for (const Json& event : client.list(kube::types::kEvents, in_namespace()))
    if (text_at(event, {"involvedObject", "kind"}) == "VMConversion")
      reasons.insert(text_at(event, {"reason"}));
  EXPECT_THAT(reasons, testing::IsSupersetOf({"Started", "Succeeded"}));
}

TEST_F(Conversions, EachDiskGetsAClaimThatIsAsLargeAsItIs) {
  start_operator();
  add("web",
      {{"output",
        {{"persistentVolumeClaim", nullptr},
         {"diskClaimTemplates",
          {{{"storageClassName", "fast"}}, {{"storageClassName", "slow"}, {"volumeMode", "Block"}}}}}}});
  ASSERT_TRUE(eventually([&] { return pods().size() == 1; }));
  EXPECT_FALSE(client.find(kube::types::kPersistentVolumeClaims, key("web-disk-0")));
  contract::Report report;
  report.success = true;
  for (std::uint64_t i = 0; i < 2; ++i)
    report.artifacts.push_back({.type = contract::kPlannedDisk,
                                .path = "/output/web/disk.raw",
                                .disk_id = "disk-" + std::to_string(i),
                                .format = "raw",
                                .virtual_size_bytes = (i + 1) << 30});
  end(pods()[0], report);
  ASSERT_TRUE(eventually([&] { return pods().size() == 2; })) << status_of("web").message;
  const std::string job = status_of("web").job_name;
  std::size_t volumes = 0;
  for (const Json& pod : pods()) {
    if (kube::label_of(pod, "job-name") != job) continue;
    for (const Json& volume : pod["spec"]["volumes"])
      volumes += volume.contains("persistentVolumeClaim") ? 1 : 0;
    report.artifacts[0].path = "/volumes/disk-0/disk.img";
    report.artifacts[1].path = "/dev/disk-1";
    for (contract::Artifact& artifact : report.artifacts) artifact.type = contract::kConvertedDisk;
    end(pod, report);
  }
  EXPECT_EQ(volumes, 3u);
  ASSERT_TRUE(becomes("web", Phase::kSucceeded)) << status_of("web").message;
  EXPECT_EQ(status_of("web").target, "web-disk-0 and 1 more");
  Json claim = client.get(kube::types::kPersistentVolumeClaims, key("web-disk-1"));
  EXPECT_EQ(text_at(claim, {"spec", "resources", "requests", "storage"}), "2Gi");
  EXPECT_EQ(text_at(claim, {"spec", "storageClassName"}), "slow");
  EXPECT_EQ(text_at(claim, {"spec", "volumeMode"}), "Block");
  // One that is cancelled takes along what was made for it.
  add("second",
      {{"output",
        {{"persistentVolumeClaim", nullptr}, {"diskClaimTemplates", Json::array({Json::object()})}}}});
  ASSERT_TRUE(eventually([&] { return !status_of("second").job_name.empty() && pods().size() == 3; }));
  for (const Json& pod : pods())
    if (kube::label_of(pod, "job-name") == status_of("second").job_name) {
      for (contract::Artifact& artifact : report.artifacts) artifact.type = contract::kPlannedDisk;
      end(pod, report);
    }
  ASSERT_TRUE(eventually([&] {
    return client.find(kube::types::kPersistentVolumeClaims, key("second-disk-1")) && pods().size() == 4;
  }));
  client.remove(kConversions, key("second"));
  EXPECT_TRUE(eventually([&] { return !client.find(kConversions, key("second")); }));
  // The claims have a finalizer of the server's own: a claim that is being deleted is as good as gone.
  for (const char* name : {"second-disk-0", "second-disk-1"}) {
    auto left = client.find(kube::types::kPersistentVolumeClaims, key(name));
    EXPECT_TRUE(!left || kube::is_being_deleted(*left)) << name;
  }
}

TEST_F(Registrations, WaitForKubeVirtAndMakeTheVirtualMachine) {
  start_operator();
  add("web", {{"register", {{"kubevirt", Json::object()}}}});
  ASSERT_TRUE(eventually([&] { return reason_of("web", "Ready") == "KubeVirtMissing"; }));
  EXPECT_TRUE(jobs().empty());
  install_kubevirt();
  ASSERT_TRUE(eventually([&] { return pods().size() == 1; }));
  end(pods()[0], success_with_machine());
  ASSERT_TRUE(becomes("web", Phase::kSucceeded)) << status_of("web").message;
  auto machine = client.find(kubevirt::kVirtualMachines, key("web"));
  ASSERT_TRUE(machine);
  EXPECT_EQ((*machine)["spec"]["runStrategy"], "Halted");
  EXPECT_EQ((*machine)["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"],
            "disks");
  EXPECT_EQ((*machine)["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"][0]["macAddress"],
            "00:50:56:aa:bb:cc");
  // The machine outlives the conversion.
  client.remove(kConversions, key("web"));
  EXPECT_TRUE(eventually([&] { return !client.find(kConversions, key("web")); }));
  EXPECT_TRUE(client.find(kubevirt::kVirtualMachines, key("web")));
  // One of its name is not taken over by another conversion.
  add("other", {{"register", {{"kubevirt", {{"name", "web"}}}}}});
  EXPECT_TRUE(eventually([&] { return reason_of("other", "Ready") == "MachineExists"; }));
}

TEST_F(Registrations, TakeThePreferenceOfTheGuestWhereTheClusterHasIt) {
  install_kubevirt();
  // The kind alone, in the place of KubeVirt's own definition of it.
  const kube::ResourceType definitions{"apiextensions.k8s.io", "v1", "customresourcedefinitions",
                                       "CustomResourceDefinition", false};
  const kube::ResourceType& kind = kubevirt::kClusterPreferences;
  client.create(definitions,
                Json::parse(R"({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "virtualmachineclusterpreferences.instancetype.kubevirt.io"},
    "spec": {"group": "instancetype.kubevirt.io", "scope": "Cluster",
      "names": {"kind": "VirtualMachineClusterPreference", "plural": "virtualmachineclusterpreferences"},
      "versions": [{"name": "v1beta1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object"}}}]}})"));
  ASSERT_TRUE(eventually([&] {
    try {
      client.create_or_get(
          kind,
          {{"apiVersion", kind.api_version()}, {"kind", kind.kind}, {"metadata", {{"name", "debian"}}}});
      return true;
    } catch (const kube::ApiError&) {
      return false;  // the definition is not served yet
    }
  }));
  start_operator();
  add("web", {{"register", {{"kubevirt", {{"preference", {{"fromGuest", true}}}}}}}});
  ASSERT_TRUE(eventually([&] { return pods().size() == 1; })) << status_of("web").message;
  contract::Report report = success_with_machine();
  report.machine->os_type = "linux";
  report.machine->distribution = "debian";
  report.machine->version = "12";
  end(pods()[0], report);
  EXPECT_TRUE(becomes("web", Phase::kSucceeded)) << status_of("web").message;
  client.remove(definitions, {"", "virtualmachineclusterpreferences.instancetype.kubevirt.io"});
  auto machine = client.find(kubevirt::kVirtualMachines, key("web"));
  ASSERT_TRUE(machine);
  EXPECT_EQ((*machine)["spec"]["preference"],
            Json::parse(R"({"kind": "VirtualMachineClusterPreference", "name": "debian"})"));
}

TEST_F(Conversions, AFailureOfTheInputIsFinalAndInTheObject) {
  start_operator();
  add("web");
  ASSERT_TRUE(eventually([&] { return pods().size() == 1; }));
  end(pods()[0], failure("verify", "web.ova: the archive is damaged."));
  ASSERT_TRUE(becomes("web", Phase::kFailed));
  EXPECT_EQ(status_of("web").failed_stage, "verify");
  EXPECT_NE(status_of("web").message.find("web.ova: the archive is damaged."), std::string::npos);
  EXPECT_EQ(jobs().size(), 1u) << "it stays for its log";
}

TEST_F(Conversions, AFailureThatMayPassIsTriedAgain) {
  start_operator();
  add("web", {{"retry", {{"limit", 1}, {"backoffSeconds", 1}}}});
  ASSERT_TRUE(eventually([&] { return pods().size() == 1; }));
  std::string first = kube::uid_of(pods()[0]);
  end(pods()[0], failure("convert", "the disk is full."), true);
  ASSERT_TRUE(eventually([&] {
    auto now = pods();
    return now.size() == 1 && kube::uid_of(now[0]) != first;
  }));
  EXPECT_EQ(status_of("web").attempts, 2);
  end(pods()[0], failure("convert", "the disk is full."), true);
  EXPECT_TRUE(becomes("web", Phase::kFailed));
  EXPECT_EQ(status_of("web").failures, 2);
}

TEST_F(Conversions, ACancelledOneLeavesNothingBehind) {
  start_operator();
  add("web",
      {{"output", {{"persistentVolumeClaim", nullptr}, {"volumeClaimTemplate", {{"storage", "1Gi"}}}}}});
  ASSERT_TRUE(eventually([&] { return pods().size() == 1; }));
  client.remove(kConversions, key("web"));
  EXPECT_TRUE(eventually([&] { return !client.find(kConversions, key("web")); }));
  EXPECT_TRUE(jobs().empty());
  EXPECT_TRUE(pods().empty());
  EXPECT_FALSE(client.find(kube::types::kPersistentVolumeClaims, key("web-disks")));
}

TEST_F(Conversions, ASuspendedOneStopsAndGoesOnWhenItIsResumed) {
  start_operator();
  add("web");
  ASSERT_TRUE(eventually([&] { return pods().size() == 1; }));
  client.patch(kConversions, key("web"), kube::PatchKind::kMerge, {{"spec", {{"suspend", true}}}});
  ASSERT_TRUE(becomes("web", Phase::kSuspended));
  EXPECT_TRUE(pods().empty());
  client.patch(kConversions, key("web"), kube::PatchKind::kMerge, {{"spec", {{"suspend", false}}}});
  ASSERT_TRUE(eventually([&] { return pods().size() == 1; }));
  EXPECT_EQ(status_of("web").failures, 0);
}

TEST_F(Conversions, AJobThatSomebodyDeletedIsMadeAgain) {
  start_operator();
  add("web", {{"retry", {{"backoffSeconds", 1}}}});
  ASSERT_TRUE(eventually([&] { return pods().size() == 1 && !status_of("web").job_uid.empty(); }));
  client.remove(kube::types::kJobs, kube::key_of(jobs()[0]));
  start_node();
  EXPECT_TRUE(becomes("web", Phase::kSucceeded));
  EXPECT_EQ(status_of("web").attempts, 2);
}

TEST_F(Conversions, AMissingClaimIsWaitedFor) {
  start_operator();
  add("web", {{"source", {{"persistentVolumeClaim", {{"claimName", "later"}}}}}});
  ASSERT_TRUE(eventually([&] { return reason_of("web", "Ready") == "SourceMissing"; }));
  EXPECT_TRUE(jobs().empty());
  client.create(
      kube::types::kPersistentVolumeClaims,
      {{"metadata", {{"name", "later"}, {"namespace", name_space}}},
       {"spec", {{"accessModes", {"ReadWriteOnce"}}, {"resources", {{"requests", {{"storage", "1Gi"}}}}}}}});
  EXPECT_TRUE(eventually([&] { return jobs().size() == 1; }));
}

TEST_F(Conversions, AJobThatTheServerRefusesIsSaid) {
  start_operator();
  add("web", {{"runner", {{"resources", {{"limits", {{"memory", "a lot"}}}}}}}});
  ASSERT_TRUE(becomes("web", Phase::kFailed));
  EXPECT_EQ(reason_of("web", "Failed"), "JobRefused");
  EXPECT_TRUE(jobs().empty());
}

TEST_F(Conversions, ABadObjectIsRefusedByTheServerOrNotAccepted) {
  auto refusal = [&](const Json& spec) {
    try {
      add("bad", spec);
      return std::string();
    } catch (const kube::ApiError& error) {
      return error.sentence();
    }
  };
  EXPECT_NE(refusal({{"output", {{"format", "vmdk"}}}}).find("spec.output.format"), std::string::npos);
  EXPECT_NE(refusal({{"timeout", "soon"}}).find("spec.timeout"), std::string::npos);
  EXPECT_NE(refusal({{"source", {{"path", "/etc/passwd"}}}}).find("spec.source.path"), std::string::npos);
  EXPECT_NE(refusal({{"retry", {{"limit", -1}}}}).find("spec.retry.limit"), std::string::npos);
  EXPECT_NE(refusal({{"source", {{"persistentVolumeClaim", nullptr}}}}).find("spec.source"),
            std::string::npos);
  // What needs a CEL rule is refused by a newer server, and by the operator.
  start_operator();
  if (refusal({{"source", {{"disks", {"a.vmdk"}}}}}).empty()) {
    EXPECT_TRUE(eventually([&] { return reason_of("bad", "Accepted") == "InvalidSpec"; }));
  }
  EXPECT_TRUE(jobs().empty());
  add("good");
  Json defaulted = client.get(kConversions, key("good"));
  EXPECT_EQ(defaulted["spec"]["retry"]["limit"], 3);
  EXPECT_EQ(defaulted["spec"]["suspend"], false);
}

TEST_F(Conversions, TenAtOnceWithALimitOfTwoRunTwoAtATime) {
  start_operator({"--max-running=2"});
  for (int i = 0; i < 10; ++i) add("web" + std::to_string(i));
  ASSERT_TRUE(eventually([&] { return pods().size() == 2 && status_of("web9").phase == Phase::kQueued; }));
  start_node();
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(becomes("web" + std::to_string(i), Phase::kSucceeded)) << i;
  EXPECT_LE(most_at_once(), 2u);
  EXPECT_EQ(jobs().size(), 10u) << "each once";
}

TEST_F(Conversions, AnOperatorThatIsKilledAgainAndAgainMakesEachJobOnce) {
  for (int i = 0; i < 6; ++i) add("web" + std::to_string(i));
  start_node();
  // Each time a little later in its work.
  for (int milliseconds = 150; milliseconds < 1200; milliseconds += kube::is_campaign() ? 7 : 70) {
    os::Process& one = start_operator({"--max-running=2"});
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    one.kill();
  }
  start_operator({"--max-running=2"});
  for (int i = 0; i < 6; ++i) {
    std::string name = "web" + std::to_string(i);
    EXPECT_TRUE(becomes(name, Phase::kSucceeded)) << name;
    EXPECT_EQ(status_of(name).attempts, 1) << name;
  }
  EXPECT_EQ(jobs().size(), 6u);
  EXPECT_LE(most_at_once(), 2u);
}

TEST_F(Conversions, TheSecondReplicaTakesOverFromOneThatWasKilled) {
  std::vector<std::string> election = {"--leader-elect", "--leader-elect-namespace=" + name_space};
  os::Process& one = start_operator(election);
  add("before");
  ASSERT_TRUE(eventually([&] { return pods().size() == 1; }));
  auto lease = [&] { return client.get(kube::types::kLeases, key(kOperatorName)); };
  const std::string first = text_at(lease(), {"spec", "holderIdentity"});
  ASSERT_NE(first, "");
  EXPECT_EQ(kube::integer_at(lease(), {"spec", "leaseDurationSeconds"}), 15);
  start_operator(election);
  // The second one waits by now, also where processes take their time to start.
  if (kube::is_campaign()) std::this_thread::sleep_for(seconds(10));
  auto killed = kube::Clock::real().calendar();
  one.kill();
  add("after");
  ASSERT_TRUE(eventually([&] { return text_at(lease(), {"spec", "holderIdentity"}) != first; }));
  // The lease itself says when it was taken over.
  auto taken = kube::parse_time(text_at(lease(), {"spec", "acquireTime"}));
  ASSERT_TRUE(taken);
  EXPECT_LE(*taken - killed, kube::is_campaign() ? std::chrono::nanoseconds(seconds(20)) : kube::kPatience);
  start_node();
  EXPECT_TRUE(becomes("before", Phase::kSucceeded));
  EXPECT_TRUE(becomes("after", Phase::kSucceeded));
  EXPECT_EQ(jobs().size(), 2u);
  EXPECT_EQ(status_of("before").attempts, 1);
}

TEST_F(Conversions, ServerAndStoreMayDieAtAnyMoment) {
  os::Process& one = start_operator({"--max-running=2"});
  const int conversions = kube::is_campaign() ? 60 : 8;
  for (int i = 0; i < conversions; ++i) add("web" + std::to_string(i));
  start_node();
  // Each time a little later in its work.
  int milliseconds = 100;
  for (int round = 0; round < (kube::is_campaign() ? 20 : 2); ++round) {
    for (const char* victim : {"apiserver", "etcd"}) {
      std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
      milliseconds = milliseconds % 1000 + 230;
      kube::component("kill", victim);
      kube::component("start", victim);
      kube::wait_for_server(client);
    }
  }
  for (int i = 0; i < conversions; ++i) {
    std::string name = "web" + std::to_string(i);
    EXPECT_TRUE(eventually([&] {
      try {
        return status_of(name).phase == Phase::kSucceeded;
      } catch (const os::Error&) {
        return false;  // the store is still coming up
      }
    })) << name;
  }
  EXPECT_EQ(jobs().size(), static_cast<std::size_t>(conversions)) << "each once";
  EXPECT_LE(most_at_once(), 2u);
  EXPECT_FALSE(one.wait_for(std::chrono::milliseconds(0))) << "it is still the same process";
}

// Two nodes that exist on paper: the scheduler puts pods on them, and nothing runs there.
class TwoNodes : public Conversions {
 protected:
  void SetUp() override {
    Conversions::SetUp();
    for (const char* name : {"paper1", "paper2"})
      client.create(kNodes, {{"metadata", {{"name", name}, {"labels", {{"kubernetes.io/hostname", name}}}}}});
    heartbeat_ = std::jthread([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        try {
          for (const char* name : {"paper1", "paper2"}) report(name);
        } catch (const os::Error&) {
          // Next time.
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
      }
    });
  }
  void TearDown() override {
    Conversions::TearDown();
    heartbeat_ = std::jthread();
    for (const char* name : {"paper1", "paper2"}) client.remove(kNodes, {"", name});
    for (const char* claim : {"exports", "disks"}) client.remove(kVolumes, {"", name_space + "-" + claim});
  }
  const kube::ResourceType kVolumes{"", "v1", "persistentvolumes", "PersistentVolume", false};
  // How many runners that have not ended are on each.
  std::map<std::string, int> runners() {
    std::map<std::string, int> counts;
    for (const Json& pod : pods())
      if (std::string node = text_at(pod, {"spec", "nodeName"}); !node.empty() && !has_ended(pod))
        ++counts[node];
    return counts;
  }

 private:
  const kube::ResourceType kNodes{"", "v1", "nodes", "Node", false};
  void report(const std::string& name) {
    Json ready = {{"type", "Ready"},
                  {"status", "True"},
                  {"reason", "Paper"},
                  {"lastHeartbeatTime", kube::to_time(kube::Clock::real().calendar())}};
    Json status = {{"allocatable", {{"cpu", "64"}, {"memory", "64Gi"}, {"pods", "100"}}},
                   {"conditions", Json::array({ready})}};
    client.patch(kNodes, {"", name}, kube::PatchKind::kMerge, {{"status", status}}, "status");
  }
  std::jthread heartbeat_;
};

TEST_F(TwoNodes, ALimitOfOneForEachNodeIsKeptOnEach) {
  // The volumes of claims that nobody provides would keep the pods from every node.
  for (const char* claim : {"exports", "disks"}) {
    const std::string volume = name_space + "-" + claim;
    client.create(kVolumes, {{"metadata", {{"name", volume}}},
                             {"spec",
                              {{"accessModes", {"ReadWriteOnce"}},
                               {"capacity", {{"storage", "1Gi"}}},
                               {"hostPath", {{"path", "/nowhere"}}},
                               {"claimRef", {{"namespace", name_space}, {"name", claim}}}}}});
  }
  ASSERT_TRUE(eventually([&] {
    for (const char* claim : {"exports", "disks"})
      if (text_at(client.get(kube::types::kPersistentVolumeClaims, key(claim)), {"status", "phase"}) !=
          "Bound")
        return false;
    return true;
  }));
  start_operator({"--max-running=10", "--max-running-per-node=1"});
  for (int i = 0; i < 5; ++i) add("web" + std::to_string(i));
  ASSERT_TRUE(eventually([&] {
    return runners() == std::map<std::string, int>{{"paper1", 1}, {"paper2", 1}};
  }));
  // A third may be made and find no node; never does a node get a second one.
  std::atomic<int> most = 0;
  start_node();
  EXPECT_TRUE(eventually([&] {
    for (const auto& [node, count] : runners()) most = std::max<int>(most, count);
    for (int i = 0; i < 5; ++i)
      if (status_of("web" + std::to_string(i)).phase != Phase::kSucceeded) return false;
    return true;
  }));
  EXPECT_EQ(most, 1);
  EXPECT_EQ(jobs().size(), 5u) << "each once";
}

}  // namespace
}  // namespace hyper2kvm::conversion
