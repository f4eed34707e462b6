// Claims that CDI makes: dataVolume in spec.output.volumeClaimTemplate and spec.output.diskClaimTemplates.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/conversion/manifests.h"
#include "operator/conversion/registration.h"
#include "tests/unit/conversion/samples.h"

namespace hyper2kvm::conversion {
namespace {

using ::testing::HasSubstr;

Conversion with_output(const Json& output, bool has_machine = true) {
  Json object = sample_object();
  object["spec"]["output"] = output;
  if (has_machine) object["spec"]["register"]["kubevirt"] = Json::object();
  return read_conversion(object);
}

// One for the only disk of a machine.
Conversion one() {
  return with_output({{"volumeClaimTemplate", {{"dataVolume", true}, {"storage", "20Gi"}}}});
}

Observed seen_of(const Conversion& conversion) {
  Observed seen = observed(conversion);
  seen.output_claim.reset();
  return seen;
}

DataVolumeView volume_of(const Conversion& conversion, const std::string& name, const std::string& phase) {
  return {{"vms", name}, "dv-" + name, conversion.uid, phase, "", false};
}

// CDI labels a claim as its DataVolume is, or not: that does not matter.
ClaimView claim_named(const std::string& name) { return {{"vms", name}, "claim", "", false, false}; }

TEST(DataVolumes, AreAskedForByTheirWord) {
  EXPECT_TRUE(one().output_is_data_volume());
  EXPECT_TRUE(one().wants_data_volumes());
  EXPECT_EQ(problem_of(one().spec), "");
  Conversion mixed = with_output({{"diskClaimTemplates", {Json::object(), {{"dataVolume", true}}}}});
  EXPECT_TRUE(mixed.wants_data_volumes());
  EXPECT_FALSE(mixed.output_is_data_volume());
  EXPECT_FALSE(mixed.disk_is_data_volume(0));
  EXPECT_TRUE(mixed.disk_is_data_volume(1));
  EXPECT_FALSE(with_output({{"volumeClaimTemplate", {{"storage", "20Gi"}}}}).wants_data_volumes());
}

TEST(DataVolumes, AreNotForADirectoryOfFiles) {
  Json wanted = {{"volumeClaimTemplate", {{"dataVolume", true}, {"storage", "20Gi"}}}};
  EXPECT_THAT(problem_of(with_output(wanted, false).spec), HasSubstr("holds one disk of a machine"));
  wanted["volumeClaimTemplate"]["volumeMode"] = "Block";
  EXPECT_EQ(problem_of(with_output(wanted, false).spec), "");
}

TEST(DataVolumes, AreBlankAndBoundAtOnceAndKept) {
  Json volume = make_data_volume(one());
  EXPECT_EQ(volume["apiVersion"], "cdi.kubevirt.io/v1beta1");
  EXPECT_EQ(volume["kind"], "DataVolume");
  EXPECT_EQ(volume["metadata"]["name"], "web-disks");
  EXPECT_EQ(read_data_volume(volume).conversion_uid, one().uid);
  EXPECT_FALSE(volume["metadata"].contains("ownerReferences")) << "it outlives the conversion";
  const Json& annotations = volume["metadata"]["annotations"];
  EXPECT_EQ(annotations["cdi.kubevirt.io/storage.bind.immediate.requested"], "true");
  EXPECT_EQ(annotations["cdi.kubevirt.io/storage.deleteAfterCompletion"], "false");
  EXPECT_EQ(volume["spec"], Json::parse(R"({
    "source": {"blank": {}}, "preallocation": false,
    "storage": {"volumeMode": "Filesystem", "resources": {"requests": {"storage": "20Gi"}}}})"));
}

TEST(DataVolumes, OfADiskAskForItsSizeAndCdiAddsWhatAFileSystemNeeds) {
  Conversion conversion =
      with_output({{"diskClaimTemplates",
                    {{{"dataVolume", true}, {"storageClassName", "fast"}, {"accessModes", {"ReadWriteMany"}}},
                     {{"dataVolume", true}, {"volumeMode", "Block"}}}}});
  conversion.status.disks = {{"disk-0", std::int64_t{10} << 30, 0, "web-disk-0"},
                             {"disk-1", (std::int64_t{1} << 30) + 1, 1, "web-disk-1"}};
  Json storage = make_disk_data_volume(conversion, 0)["spec"]["storage"];
  EXPECT_EQ(storage["resources"]["requests"]["storage"], "10240Mi");
  EXPECT_EQ(storage["storageClassName"], "fast");
  EXPECT_EQ(storage["accessModes"], Json::array({"ReadWriteMany"}));
  storage = make_disk_data_volume(conversion, 1)["spec"]["storage"];
  EXPECT_EQ(storage["resources"]["requests"]["storage"], "1025Mi");
  EXPECT_EQ(storage["volumeMode"], "Block");
  EXPECT_FALSE(storage.contains("accessModes")) << "CDI knows what its class can do";
}

TEST(DataVolumes, AClusterWithoutCdiIsWaitedFor) {
  Observed seen = seen_of(one());
  seen.has_cdi = false;
  Decision decision = decide(seen);
  EXPECT_TRUE(decision.actions.empty());
  EXPECT_EQ(reason_of(decision.status, "Ready"), "CDIMissing");
  EXPECT_THAT(decision.status.message, HasSubstr("Install CDI"));
  EXPECT_TRUE(decision.again_after);
  // Also before the disks are looked at.
  seen.conversion = with_output({{"diskClaimTemplates", Json::array({{{"dataVolume", true}}})}});
  decision = decide(seen);
  EXPECT_TRUE(decision.actions.empty());
  EXPECT_EQ(reason_of(decision.status, "Ready"), "CDIMissing");
}

TEST(DataVolumes, TheRunnerStartsWhenCdiIsDoneAndNotSooner) {
  Observed seen = seen_of(one());
  Decision decision = decide(seen);
  ASSERT_EQ(decision.actions.size(), 1u);
  EXPECT_NE(find_action<CreateClaim>(decision), nullptr);
  seen.data_volumes = {volume_of(seen.conversion, "web-disks", "")};
  for (const char* phase :
       {"", "Pending", "WaitForFirstConsumer", "PVCBound", "ImportScheduled", "ImportInProgress"}) {
    seen.data_volumes[0].phase = phase;
    seen.output_claim = claim_named("web-disks");
    decision = decide(seen);
    EXPECT_TRUE(decision.actions.empty()) << phase;
    EXPECT_EQ(reason_of(decision.status, "Ready"), "MakingClaim");
    EXPECT_THAT(decision.status.message, HasSubstr(phase));
    EXPECT_TRUE(decision.again_after) << "nobody tells when it changes";
  }
  seen.data_volumes[0].problem = "no accessMode specified in StorageProfile fast";
  EXPECT_THAT(decide(seen).status.message, HasSubstr("It says: no accessMode specified"));
  seen.data_volumes[0].phase = "Succeeded";
  EXPECT_NE(find_action<CreateJob>(decide(seen)), nullptr);
  seen.output_claim.reset();
  EXPECT_EQ(find_action<CreateJob>(decide(seen)), nullptr) << "its claim is not in the cache yet";
}

TEST(DataVolumes, WhatIsSomebodyElsesIsNeverTaken) {
  Observed seen = seen_of(one());
  seen.output_claim = claim_named("web-disks");
  Decision decision = decide(seen);
  EXPECT_TRUE(decision.actions.empty()) << "a claim that no DataVolume of ours stands for";
  EXPECT_EQ(reason_of(decision.status, "Ready"), "ClaimExists");
  seen.data_volumes = {volume_of(seen.conversion, "web-disks", "Succeeded")};
  seen.data_volumes[0].conversion_uid = "somebody-else";
  decision = decide(seen);
  EXPECT_TRUE(decision.actions.empty());
  EXPECT_EQ(reason_of(decision.status, "Ready"), "ClaimExists");
  EXPECT_THAT(decision.status.message, HasSubstr("DataVolume web-disks"));
}

// Its survey has found two disks.
Observed surveyed() {
  Observed seen =
      after_its_runner(seen_of(with_output({{"diskClaimTemplates", Json::array({{{"dataVolume", true}}})}})),
                       0, survey_message(2));
  seen.conversion.status = decide(seen).status;
  return seen;
}

TEST(DataVolumes, AreMadeForEachDiskAndWaitedFor) {
  Observed seen = surveyed();
  Decision decision = decide(seen);
  EXPECT_EQ(decision.actions.size(), 2u);
  EXPECT_NE(find_action<CreateDiskClaim>(decision), nullptr);
  seen.data_volumes = {volume_of(seen.conversion, "web-disk-0", "Succeeded"),
                       volume_of(seen.conversion, "web-disk-1", "ImportInProgress")};
  seen.disk_claims = {claim_named("web-disk-0"), claim_named("web-disk-1")};
  decision = decide(seen);
  EXPECT_TRUE(decision.actions.empty());
  EXPECT_EQ(reason_of(decision.status, "Running"), "MakingClaims");
  EXPECT_THAT(decision.status.message, HasSubstr("web-disk-1 (ImportInProgress)"));
  seen.data_volumes[1].phase = "Succeeded";
  decision = decide(seen);
  ASSERT_EQ(decision.actions.size(), 1u);
  EXPECT_EQ(find_action<CreateJob>(decision)->work, Work::kConvert);
}

TEST(DataVolumes, OneThatCdiGivesUpIsTheEndWithItsWords) {
  Observed seen = surveyed();
  seen.data_volumes = {volume_of(seen.conversion, "web-disk-0", "Failed")};
  seen.data_volumes[0].problem = "exceeded quota";
  Decision decision = decide(seen);
  EXPECT_EQ(decision.status.phase, Phase::kFailed);
  EXPECT_EQ(reason_of(decision.status, "Failed"), "DataVolumeFailed");
  EXPECT_THAT(decision.status.message, HasSubstr("exceeded quota"));
}

TEST(DataVolumes, GoWithACancelledConversionBeforeAnyClaimDoesAndStayAfterASuccess) {
  Observed seen = surveyed();
  seen.jobs.clear();
  seen.pods.clear();
  seen.data_volumes = {volume_of(seen.conversion, "web-disk-0", "Succeeded"),
                       volume_of(seen.conversion, "web-disk-1", "Pending")};
  seen.data_volumes[1].conversion_uid = "somebody-else";
  seen.disk_claims = {claim_named("web-disk-0")};
  seen.disk_claims[0].conversion_uid = seen.conversion.uid;
  seen.conversion.is_being_deleted = true;
  Decision decision = decide(seen);
  ASSERT_EQ(decision.actions.size(), 1u) << "CDI would make a deleted claim of it anew";
  EXPECT_EQ(find_action<DeleteDataVolume>(decision)->key.name, "web-disk-0");
  EXPECT_TRUE(decision.again_after);
  seen.data_volumes[0].is_being_deleted = true;
  EXPECT_TRUE(decide(seen).actions.empty());
  seen.data_volumes.clear();
  seen.disk_claims.clear();
  EXPECT_NE(find_action<RemoveFinalizer>(decide(seen)), nullptr);
  seen.data_volumes = {volume_of(seen.conversion, "web-disk-0", "Succeeded")};
  kube::set_condition(seen.conversion.status.conditions, {"Ready", "True", "Succeeded", "", 1, ""}, seen.now);
  EXPECT_NE(find_action<RemoveFinalizer>(decide(seen)), nullptr);
}

TEST(DataVolumes, AreWhatTheMachinesVolumesName) {
  contract::MachineFacts facts{.name = "web", .cpus = 2, .mem_gb = 4, .virtio = true};
  auto volumes = [&](const Conversion& conversion) {
    return make_machine(conversion, facts)["spec"]["template"]["spec"]["volumes"];
  };
  EXPECT_EQ(volumes(one()), Json::parse(R"([{"name": "disk-0", "dataVolume": {"name": "web-disks"}}])"));
  Conversion mixed = with_output({{"diskClaimTemplates", {{{"dataVolume", true}}, Json::object()}}});
  mixed.status.disks = {{"disk-0", 1, 1, "web-disk-0"}, {"disk-1", 1, 0, "web-disk-1"}};
  EXPECT_EQ(volumes(mixed), Json::parse(R"([
    {"name": "disk-0", "persistentVolumeClaim": {"claimName": "web-disk-1"}},
    {"name": "disk-1", "dataVolume": {"name": "web-disk-0"}}])"));
}

TEST(DataVolumes, AreReadWithWhatIsInTheWay) {
  DataVolumeView view = read_data_volume(Json::parse(R"({
    "metadata": {"name": "a", "namespace": "vms", "uid": "u", "labels": {"hyper2kvm.io/conversion-uid": "c"}},
    "status": {"phase": "Pending", "conditions": [
      {"type": "Bound", "status": "True", "message": "PVC a Bound"},
      {"type": "Running", "status": "False", "message": "back-off", "reason": "ImagePullBackOff"}]}})"));
  EXPECT_EQ(view.key, (kube::ObjectKey{"vms", "a"}));
  EXPECT_EQ(view.conversion_uid, "c");
  EXPECT_EQ(view.phase, "Pending");
  EXPECT_EQ(view.problem, "back-off");
}

}  // namespace
}  // namespace hyper2kvm::conversion
