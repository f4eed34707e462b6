// A claim for each disk: spec.output.diskClaimTemplates.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/conversion/manifests.h"
#include "operator/conversion/registration.h"
#include "tests/unit/conversion/samples.h"

namespace hyper2kvm::conversion {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const RunnerDefaults kDefaults{"runner:1", {}};

Json object_with(const Json& templates) {
  Json object = sample_object();
  object["spec"]["output"] = {{"diskClaimTemplates", templates}};
  return object;
}

// The first disk on a file system of the class "fast", all others on block volumes.
Conversion two_classes() {
  return read_conversion(object_with(
      Json::parse(R"([{"storageClassName": "fast"}, {"volumeMode": "Block", "storageClassName": "slow"}])")));
}

Observed seen_of(const Conversion& conversion) {
  Observed seen = observed(conversion);
  seen.output_claim.reset();
  return seen;
}

// Its survey has ended.
Observed surveyed(const std::string& message, Conversion conversion = two_classes()) {
  return after_its_runner(seen_of(conversion), 0, message);
}

ClaimView claim_of(const Conversion& conversion, std::size_t disk, const std::string& owner) {
  return {{"vms", conversion.disk_claim_name(disk)}, "claim", owner, false, false};
}

// Its claims are there, and its conversion has not begun.
Observed with_claims(std::size_t disks) {
  Observed seen = surveyed(survey_message(disks));
  seen.conversion.status = decide(seen).status;
  for (std::size_t i = 0; i < disks; ++i)
    seen.disk_claims.push_back(claim_of(seen.conversion, i, seen.conversion.uid));
  return seen;
}

TEST(DiskClaims, AreReadFromTheObject) {
  Conversion conversion = two_classes();
  EXPECT_TRUE(conversion.makes_a_claim_for_each_disk());
  EXPECT_FALSE(conversion.makes_its_claim());
  EXPECT_EQ(conversion.disk_claim_name(2), "web-disk-2");
  EXPECT_EQ(conversion.output_claim_name(), "web-disk-0");
  EXPECT_FALSE(conversion.disk_is_block(0));
  EXPECT_TRUE(conversion.disk_is_block(1));
  EXPECT_TRUE(conversion.disk_is_block(9)) << "the last template is for all further disks";
  EXPECT_EQ(problem_of(conversion.spec), "");
}

TEST(DiskClaims, WhatTheyCannotHoldIsNotAccepted) {
  auto problem = [](const char* where, const Json& value) {
    Json object = object_with(Json::array({Json::object()}));
    object[Json::json_pointer(where)] = value;
    return problem_of(read_conversion(object).spec);
  };
  EXPECT_EQ(problem("/spec/output/format", "raw"), "");
  EXPECT_THAT(problem("/spec/output/format", "qcow2"), HasSubstr("is raw. Set it to raw"));
  EXPECT_THAT(problem("/spec/output/path", "a"), HasSubstr("spec.output.path"));
  EXPECT_THAT(problem("/spec/pipeline", {{"convert", {{"compress", true}}}}), HasSubstr("compression"));
  EXPECT_THAT(problem("/spec/output/volumeClaimTemplate", {{"storage", "1Gi"}}),
              StartsWith("Name one of spec.output.persistentVolumeClaim"));
}

TEST(DiskClaims, ASurveyComesFirst) {
  Decision decision = decide(seen_of(two_classes()));
  ASSERT_NE(find_action<CreateJob>(decision), nullptr);
  EXPECT_EQ(find_action<CreateJob>(decision)->work, Work::kSurvey);
  EXPECT_EQ(decision.status.job_name, "web-01234567-1-survey");
  EXPECT_EQ(find_action<CreateClaim>(decision), nullptr);
  EXPECT_EQ(decision.place, Place::kHolds);
}

TEST(DiskClaims, ASurveyHasTheSourceOnly) {
  Json pod =
      make_job(two_classes(), 1, kDefaults, std::nullopt, {}, Work::kSurvey)["spec"]["template"]["spec"];
  std::size_t claims = 0;
  for (const Json& volume : pod["volumes"]) claims += volume.contains("persistentVolumeClaim") ? 1 : 0;
  EXPECT_EQ(claims, 1u);
  EXPECT_FALSE(pod["containers"][0].contains("volumeDevices"));
  auto command = pod["containers"][0]["command"].get<std::vector<std::string>>();
  EXPECT_THAT(command, Contains("--dry-run"));
  EXPECT_THAT(command, Contains("--no-fix"));
  EXPECT_THAT(command, Not(Contains(HasSubstr("--output-f"))));
}

TEST(DiskClaims, WhatTheSurveyFoundIsWrittenBeforeAnyClaimIsMade) {
  Observed seen = surveyed(survey_message(3));
  Decision decision = decide(seen);
  EXPECT_TRUE(decision.actions.empty());
  ASSERT_EQ(decision.status.disks.size(), 3u);
  EXPECT_EQ(decision.status.disks[1], (PlannedDisk{"disk-1", std::int64_t{2} << 30, 2, "web-disk-1"}));
  EXPECT_EQ(decision.status.job_name, "web-01234567-1");
  EXPECT_EQ(decision.status.attempts, 1);
  EXPECT_EQ(reason_of(decision.status, "Running"), "MakingClaims");
  EXPECT_EQ(decision.place, Place::kHolds);
  seen.conversion.status = decision.status;
  decision = decide(seen);
  EXPECT_EQ(decision.actions.size(), 3u);
  EXPECT_EQ(std::get<CreateDiskClaim>(decision.actions[2]).disk, 2u);
}

TEST(DiskClaims, AreAsLargeAsTheirDisksWithRoomForAFileSystem) {
  Conversion conversion = two_classes();
  conversion.status.disks = {{"disk-0", std::int64_t{10} << 30, 0, "web-disk-0"},
                             {"disk-1", (std::int64_t{1} << 30) + 1, 1, "web-disk-1"}};
  Json claim = make_disk_claim(conversion, 0);
  EXPECT_EQ(claim["metadata"]["name"], "web-disk-0");
  EXPECT_EQ(read_claim(claim).conversion_uid, conversion.uid);
  EXPECT_EQ(claim["spec"]["resources"]["requests"]["storage"], "10894Mi") << "10240 / 0.94";
  EXPECT_EQ(claim["spec"]["storageClassName"], "fast");
  EXPECT_FALSE(claim["spec"].contains("volumeMode"));
  claim = make_disk_claim(conversion, 1);
  EXPECT_EQ(claim["spec"]["resources"]["requests"]["storage"], "1025Mi");
  EXPECT_EQ(claim["spec"]["storageClassName"], "slow");
  EXPECT_EQ(claim["spec"]["volumeMode"], "Block");
  conversion.spec.disk_claims[0]["storage"] = "40Gi";
  EXPECT_EQ(make_disk_claim(conversion, 0)["spec"]["resources"]["requests"]["storage"], "40Gi");
}

TEST(DiskClaims, TheConversionStartsWhenAllAreThere) {
  Observed seen = with_claims(2);
  Decision decision = decide(seen);
  ASSERT_EQ(decision.actions.size(), 1u);
  EXPECT_EQ(find_action<CreateJob>(decision)->work, Work::kConvert);
  Json pod = make_job(seen.conversion, 1, kDefaults, std::nullopt)["spec"]["template"]["spec"];
  Json container = pod["containers"][0];
  auto command = container["command"].get<std::vector<std::string>>();
  EXPECT_THAT(command, Contains("--output-file=disk-0=/volumes/disk-0/disk.img"));
  EXPECT_THAT(command, Contains("--output-device=disk-1=/dev/disk-1"));
  EXPECT_EQ(container["volumeDevices"], Json::parse(R"([{"name": "disk-1", "devicePath": "/dev/disk-1"}])"));
  EXPECT_THAT(container["volumeMounts"],
              Contains(Json::parse(R"({"name": "disk-0", "mountPath": "/volumes/disk-0"})")));
  seen.disk_claims.pop_back();
  decision = decide(seen);
  EXPECT_EQ(find_action<CreateJob>(decision), nullptr);
  ASSERT_EQ(decision.actions.size(), 1u);
  EXPECT_EQ(find_action<CreateDiskClaim>(decision)->disk, 1u);
}

TEST(DiskClaims, AClaimOfSomebodyElseIsNeverTaken) {
  Observed seen = with_claims(2);
  seen.disk_claims[1].conversion_uid = "somebody-else";
  Decision decision = decide(seen);
  EXPECT_TRUE(decision.actions.empty());
  EXPECT_EQ(decision.status.phase, Phase::kFailed);
  EXPECT_EQ(reason_of(decision.status, "Failed"), "ClaimExists");
  EXPECT_THAT(decision.status.message, HasSubstr("web-disk-1"));
}

TEST(DiskClaims, ASurveyThatTellsTooLittleIsTheEnd) {
  EXPECT_EQ(reason_of(decide(surveyed(success_message())).status, "Failed"), "SurveyFailed");
  Status status = decide(surveyed(survey_message(60))).status;
  EXPECT_EQ(reason_of(status, "Failed"), "TooManyDisks");
  EXPECT_THAT(status.message, HasSubstr("has 60 disks"));
}

TEST(DiskClaims, AreNamedByASuccessAndByTheMachine) {
  Observed seen = with_claims(3);
  contract::Report report;
  report.success = true;
  for (const char* path : {"/volumes/disk-0/disk.img", "/dev/disk-1", "/dev/disk-2"})
    report.artifacts.push_back(
        {.path = path, .disk_id = "disk-" + std::to_string(report.artifacts.size()), .format = "raw"});
  report.machine = contract::MachineFacts{.name = "web", .cpus = 2, .mem_gb = 4, .virtio = true};
  seen.jobs = {job_of(seen.conversion)};
  seen.pods = {ended(pod_of(seen.conversion), 0, contract::to_termination_message(report))};
  Status status = decide(seen).status;
  EXPECT_EQ(status.phase, Phase::kSucceeded) << status.message;
  EXPECT_EQ(status.target, "web-disk-0 and 2 more");
  ASSERT_EQ(status.artifacts.size(), 3u);
  EXPECT_EQ(status.artifacts[0], (Artifact{"disk-0", "web-disk-0", "disk.img", "raw", 0}));
  EXPECT_EQ(status.artifacts[1], (Artifact{"disk-1", "web-disk-1", "", "raw", 0}));

  seen.conversion.spec.kubevirt = kubevirt::Wishes{};
  Decision decision = decide(seen);
  ASSERT_NE(find_action<ApplyMachine>(decision), nullptr) << decision.status.message;
  std::vector<std::string> claims;
  for (const Json& volume :
       find_action<ApplyMachine>(decision)->machine["spec"]["template"]["spec"]["volumes"])
    claims.push_back(volume["persistentVolumeClaim"]["claimName"]);
  // The third has the lowest hint.
  EXPECT_EQ(claims, (std::vector<std::string>{"web-disk-2", "web-disk-0", "web-disk-1"}));
}

TEST(DiskClaims, GoWithACancelledConversionAndStayAfterASuccess) {
  Observed seen = with_claims(2);
  seen.disk_claims.push_back(claim_of(seen.conversion, 7, "somebody-else"));
  seen.conversion.is_being_deleted = true;
  seen.jobs.clear();
  seen.pods.clear();
  Decision decision = decide(seen);
  ASSERT_EQ(decision.actions.size(), 2u);
  EXPECT_EQ(find_action<DeleteClaim>(decision)->key.name, "web-disk-0");
  kube::set_condition(seen.conversion.status.conditions, {"Ready", "True", "Succeeded", "", 1, ""}, seen.now);
  EXPECT_NE(find_action<RemoveFinalizer>(decide(seen)), nullptr);
}

TEST(DiskClaims, StandInTheStatus) {
  Status status = with_claims(2).conversion.status;
  Json object = sample_object();
  object["status"] = to_json(status);
  EXPECT_EQ(read_status(object), status);
}

}  // namespace
}  // namespace hyper2kvm::conversion
