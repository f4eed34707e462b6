#include "operator/conversion/registration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/conversion/manifests.h"
#include "operator/conversion/words.h"
#include "tests/unit/conversion/samples.h"

namespace hyper2kvm::conversion {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

Conversion registering(const Json& kubevirt = Json::object(), const Json& patch = Json::object()) {
  Json object = sample_object();
  object["spec"]["register"] = {{"kubevirt", kubevirt}};
  object["spec"].merge_patch(patch);
  return read_conversion(object);
}

// One whose runner has just succeeded.
Observed converted() { return after_its_runner(observed(registering()), 0, success_message()); }

MachineView machine_of(const std::string& conversion_uid) {
  return {{"vms", "web"}, "vm-uid", conversion_uid, false};
}

TEST(Registration, APreferenceMayBeChosenByWhatIsInTheGuest) {
  Observed seen = converted();
  EXPECT_THAT(find_action<ApplyMachine>(decide(seen))->preferences, IsEmpty());
  contract::Report report;
  report.success = true;
  report.artifacts.push_back({.path = "/output/disk.img", .disk_id = "disk-0", .format = "raw"});
  report.machine = contract::MachineFacts{.name = "web",
                                          .cpus = 2,
                                          .mem_gb = 4,
                                          .virtio = true,
                                          .os_type = "linux",
                                          .distribution = "debian",
                                          .version = "12"};
  seen.pods[0].terminated->message = contract::to_termination_message(report);
  seen.conversion.spec.kubevirt->preference_of_guest = true;
  EXPECT_THAT(find_action<ApplyMachine>(decide(seen))->preferences, Contains("debian"));
  EXPECT_TRUE(registering({{"preference", {{"fromGuest", true}}}}).spec.kubevirt->preference_of_guest);
  EXPECT_THAT(problem_of(registering({{"preference", {{"fromGuest", true}, {"name", "debian"}}}}).spec),
              HasSubstr("Leave one of them out"));
  EXPECT_THAT(problem_of(registering({{"preference", {{"kind", "VirtualMachinePreference"}}}}).spec),
              HasSubstr("no name"));
}

TEST(Registration, IsReadFromTheObject) {
  Conversion conversion = registering(Json::parse(R"({
      "name": "web01", "runStrategy": "Always", "diskBus": "scsi", "tpm": true, "labels": {"team": "web"},
      "instancetype": {"name": "u1.large"}, "preference": {"name": "debian", "kind": "VirtualMachinePreference"},
      "networks": [{"source": "DMZ", "multus": {"networkName": "net/dmz"}}, {"source": "*", "pod": {}}]})"));
  ASSERT_TRUE(conversion.spec.kubevirt);
  const kubevirt::Wishes& wishes = *conversion.spec.kubevirt;
  EXPECT_EQ(wishes.run_strategy, "Always");
  EXPECT_EQ(wishes.disk_bus, "scsi");
  EXPECT_TRUE(wishes.tpm);
  EXPECT_EQ(wishes.labels.at("team"), "web");
  EXPECT_EQ(wishes.instance_type.name, "u1.large");
  EXPECT_EQ(wishes.preference.kind, "VirtualMachinePreference");
  ASSERT_EQ(wishes.networks.size(), 2u);
  EXPECT_EQ(wishes.networks[0].multus, "net/dmz");
  EXPECT_EQ(wishes.networks[0].binding, kubevirt::NetworkBinding::kBridge);
  EXPECT_EQ(wishes.networks[1].kind, kubevirt::NetworkKind::kPod);
  EXPECT_EQ(wishes.networks[1].binding, kubevirt::NetworkBinding::kMasquerade);
  EXPECT_EQ(machine_key(conversion).to_string(), "vms/web01");
  EXPECT_THAT(problem_of(conversion.spec), IsEmpty());
}

TEST(Registration, IsOffWhereNothingIsSaid) { EXPECT_FALSE(sample().spec.kubevirt); }

TEST(Registration, WhatKubeVirtCannotTakeIsNotAccepted) {
  EXPECT_THAT(problem_of(registering(Json::object(), {{"output", {{"format", "qcow2"}}}}).spec),
              HasSubstr("disks are raw"));
  EXPECT_THAT(problem_of(registering(Json::object(), {{"output", {{"path", "x"}}}}).spec),
              HasSubstr("root of its claim"));
  EXPECT_THAT(
      problem_of(registering(Json::object(), {{"pipeline", {{"convert", {{"compress", true}}}}}}).spec),
      HasSubstr("compression"));
  EXPECT_THAT(problem_of(registering({{"name", "Web 01"}}).spec), HasSubstr("no name of a VirtualMachine"));
  EXPECT_THAT(problem_of(registering({{"runStrategy", "Sometimes"}}).spec),
              HasSubstr("Always, RerunOnFailure"));
  EXPECT_THAT(problem_of(registering(Json::parse(R"({"networks": [{"source": "a"}]})")).spec),
              HasSubstr("names no network"));
  EXPECT_THAT(
      problem_of(
          registering(
              Json::parse(
                  R"({"networks": [{"source": "a", "multus": {"networkName": "b"}, "binding": "masquerade"}]})"))
              .spec),
      HasSubstr("which only the pod network has"));
}

TEST(Registration, TheRunnerWritesTheDiskWhereKubeVirtLooksForIt) {
  std::vector<std::string> command = runner_command(registering());
  EXPECT_THAT(command, Contains("--output=/output"));
  EXPECT_THAT(command, Contains("--output-format=raw"));
  EXPECT_THAT(command, Contains("--output-filename=disk.img"));
}

TEST(Registration, ComesAfterTheDisksAndBeforeReady) {
  Observed seen = converted();
  Decision decision = decide(seen);
  ASSERT_NE(find_action<ApplyMachine>(decision), nullptr);
  const Json& machine = find_action<ApplyMachine>(decision)->machine;
  EXPECT_EQ(kube::key_of(machine).to_string(), "vms/web");
  EXPECT_EQ(read_machine(machine).conversion_uid, "0123456789abcdef");
  EXPECT_EQ(machine["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"], "disks");
  EXPECT_FALSE(machine["metadata"].contains("ownerReferences")) << "it outlives the conversion";
  EXPECT_EQ(decision.status.phase, Phase::kRunning);
  EXPECT_EQ(value_of(decision.status, "Registered"), "False");
  EXPECT_EQ(value_of(decision.status, "Ready"), "False");

  seen.conversion.status = decision.status;
  seen.machine = machine_of(seen.conversion.uid);
  decision = decide(seen);
  EXPECT_TRUE(decision.actions.empty());
  EXPECT_EQ(decision.status.phase, Phase::kSucceeded);
  EXPECT_EQ(value_of(decision.status, "Registered"), "True");
  EXPECT_EQ(value_of(decision.status, "Ready"), "True");
  EXPECT_EQ(decision.status.target, "disks");
}

TEST(Registration, IsFoundImpossibleBeforeAnythingIsConverted) {
  Observed seen = observed(registering());
  seen.has_kubevirt = false;
  Decision decision = decide(seen);
  EXPECT_TRUE(decision.actions.empty());
  EXPECT_EQ(reason_of(decision.status, "Ready"), "KubeVirtMissing");
  EXPECT_TRUE(decision.again_after) << "nobody tells when it is installed";
  seen.has_kubevirt = true;
  seen.machine = machine_of("somebody-else");
  decision = decide(seen);
  EXPECT_TRUE(decision.actions.empty());
  EXPECT_EQ(reason_of(decision.status, "Ready"), "MachineExists");
}

TEST(Registration, AMachineOfSomebodyElseIsNeverTaken) {
  Observed seen = converted();
  seen.machine = machine_of("somebody-else");
  Decision decision = decide(seen);
  EXPECT_EQ(find_action<ApplyMachine>(decision), nullptr);
  EXPECT_EQ(decision.status.phase, Phase::kFailed);
  EXPECT_EQ(reason_of(decision.status, "Failed"), "MachineExists");
  EXPECT_EQ(decision.status.failed_stage, "register");
}

TEST(Registration, AMachineThatCannotBeMadeFailsWithTheReason) {
  Observed seen = converted();
  contract::Report report;
  report.success = true;
  report.artifacts.push_back({.path = "/output/disk.img", .disk_id = "disk-0", .format = "raw"});
  report.machine =
      contract::MachineFacts{.name = "web", .nics = {{.network = "a"}, {.network = "b"}}, .total_nics = 2};
  seen.pods[0] = ended(seen.pods[0], 0, contract::to_termination_message(report));
  Decision decision = decide(seen);
  EXPECT_EQ(reason_of(decision.status, "Failed"), "MachineRefused");
  EXPECT_THAT(decision.status.message, HasSubstr("NIC 2 on the network \"b\""));
  report.machine->nics.clear();
  report.machine->total_nics = 0;
  report.artifacts.push_back(report.artifacts[0]);
  seen.pods[0] = ended(seen.pods[0], 0, contract::to_termination_message(report));
  EXPECT_THAT(decide(seen).status.message, HasSubstr("has 2 disks"));
}

TEST(Registration, WhatTheServerRefusesIsTheEndOfTheAttempt) {
  Observed seen = converted();
  seen.refusal = Failure{"MachineRefused", "register", "no such field.", false};
  Decision decision = decide(seen);
  EXPECT_EQ(decision.status.phase, Phase::kFailed);
  EXPECT_EQ(decision.status.failed_stage, "register");
}

TEST(Registration, ACancelledConversionTakesItsMachineAlong) {
  Observed seen = converted();
  seen.conversion.status = decide(seen).status;
  seen.conversion.is_being_deleted = true;
  seen.jobs.clear();
  seen.pods.clear();
  seen.machine = machine_of(seen.conversion.uid);
  ASSERT_NE(find_action<DeleteMachine>(decide(seen)), nullptr);
  EXPECT_EQ(find_action<DeleteMachine>(decide(seen))->uid, "vm-uid");
  seen.machine = machine_of("somebody-else");
  EXPECT_EQ(find_action<DeleteMachine>(decide(seen)), nullptr);
  EXPECT_NE(find_action<RemoveFinalizer>(decide(seen)), nullptr);
}

}  // namespace
}  // namespace hyper2kvm::conversion
