#include "operator/conversion/outcome.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/conversion/samples.h"

namespace hyper2kvm::conversion {
namespace {

using contract::TerminationResult;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string reason_in(const std::optional<Failure>& failure) { return failure ? failure->reason : ""; }

// Disks of these paths: disk-0, disk-1...
TerminationResult result_with(const std::vector<std::string>& paths) {
  TerminationResult result;
  result.success = true;
  for (const std::string& path : paths) {
    TerminationResult::Disk& disk = result.disks.emplace_back();
    disk.disk_id = "disk-" + std::to_string(result.disks.size() - 1);
    disk.path = path;
    disk.format = "raw";
    disk.size_bytes = 4096;
    disk.virtual_size_bytes = 8192;
    disk.boot_order_hint = static_cast<int>(result.disks.size());
  }
  result.total_disks = result.disks.size();
  return result;
}

// The first disk in a file system, all others on block volumes.
Conversion with_disk_claims(std::size_t disks) {
  Json object = sample_object();
  object["spec"]["output"] = {{"diskClaimTemplates", Json::parse(R"([{}, {"volumeMode": "Block"}])")}};
  Conversion conversion = read_conversion(object);
  for (std::size_t i = 0; i < disks; ++i)
    conversion.status.disks.push_back({"disk-" + std::to_string(i), 8192, 0, conversion.disk_claim_name(i)});
  return conversion;
}

TEST(Outcome, ASurveyTellsOfAllDisksOrIsOfNoUse) {
  TerminationResult result = result_with({"/output/a", "/output/b"});
  EXPECT_EQ(reason_in(problem_of_survey(result)), "SurveyFailed") << "it was none";
  result.dry_run = true;
  EXPECT_EQ(reason_in(problem_of_survey(result)), "");
  result.total_disks = 60;
  EXPECT_EQ(reason_in(problem_of_survey(result)), "TooManyDisks");
  EXPECT_THAT(problem_of_survey(result)->message,
              HasSubstr("has 60 disks, and a claim for each is made for 2"));
  result.disks.clear();
  EXPECT_EQ(reason_in(problem_of_survey(result)), "SurveyFailed");
}

TEST(Outcome, ASurveysDisksGetTheNamesOfTheirClaims) {
  EXPECT_THAT(planned_disks(with_disk_claims(0), result_with({"/output/a", "/output/b"})),
              ElementsAre(PlannedDisk{"disk-0", 8192, 1, "web-disk-0"},
                          PlannedDisk{"disk-1", 8192, 2, "web-disk-1"}));
}

TEST(Outcome, NoDiskAndADryRunAreNoResult) {
  TerminationResult result = result_with({"/output/web/disk-0.raw"});
  EXPECT_FALSE(made_nothing(result));
  EXPECT_EQ(reason_in(problem_of_disks(result)), "");
  result.dry_run = true;
  EXPECT_TRUE(made_nothing(result));
  EXPECT_EQ(reason_in(problem_of_disks(result)), "NothingConverted");
  EXPECT_EQ(reason_in(problem_of_disks(result_with({}))), "NothingConverted");
}

TEST(Outcome, ABlockVolumeHoldsOneDisk) {
  EXPECT_EQ(reason_in(problem_of_disks(result_with({"/dev/output"}))), "");
  EXPECT_EQ(reason_in(problem_of_disks(result_with({"/dev/output", "/output/web/disk-1.raw"}))),
            "TooManyDisks");
}

TEST(Outcome, AMachineNeedsItsFactsAndAClaimForEachDisk) {
  TerminationResult result = result_with({"/output/web/disk.img"});
  std::optional<Failure> problem = problem_of_machine(sample(), result);
  EXPECT_EQ(reason_in(problem), "MachineRefused");
  EXPECT_THAT(problem->message, HasSubstr("does not say what the machine needs"));
  result.machine = contract::MachineFacts{};
  EXPECT_EQ(reason_in(problem_of_machine(sample(), result)), "");
  result.total_disks = 2;
  problem = problem_of_machine(sample(), result);
  EXPECT_EQ(reason_in(problem), "MachineRefused");
  EXPECT_THAT(problem->message, HasSubstr("has 2 disks, and KubeVirt takes one from a claim"));
  EXPECT_EQ(reason_in(problem_of_machine(with_disk_claims(2), result)), "");
}

TEST(Outcome, ArtifactsAreNamedByClaimAndPlaceInIt) {
  EXPECT_THAT(artifacts_of(sample(), result_with({"/output/web/disk-0.raw", "/elsewhere"})),
              ElementsAre(Artifact{"disk-0", "disks", "web/disk-0.raw", "raw", 4096},
                          Artifact{"disk-1", "disks", "/elsewhere", "raw", 4096}));
  EXPECT_THAT(artifacts_of(sample(), result_with({"/dev/output"})),
              ElementsAre(Artifact{"disk-0", "disks", "", "raw", 4096}));
  EXPECT_THAT(artifacts_of(with_disk_claims(2), result_with({"/volumes/disk-0/disk.img", "/dev/disk-1"})),
              ElementsAre(Artifact{"disk-0", "web-disk-0", "disk.img", "raw", 4096},
                          Artifact{"disk-1", "web-disk-1", "", "raw", 4096}));
}

TEST(Outcome, AGuestIsToldOfWhereOneWasFound) {
  TerminationResult result;
  EXPECT_FALSE(guest_of(result));
  result.machine = contract::MachineFacts{};
  EXPECT_FALSE(guest_of(result));
  result.machine->os_type = "linux";
  result.machine->hostname = "web01";
  ASSERT_TRUE(guest_of(result));
  EXPECT_EQ(guest_of(result)->hostname, "web01");
}

TEST(Outcome, TheTargetIsADirectoryAClaimOrSeveral) {
  EXPECT_EQ(target_of(sample(), result_with({"/output/web/disk-0.raw"})), "disks/web");
  EXPECT_EQ(target_of(sample(), result_with({"/dev/output"})), "disks");
  Conversion machine = sample();
  machine.spec.kubevirt = kubevirt::Wishes{};
  EXPECT_EQ(target_of(machine, result_with({"/output/disk.img"})), "disks");
  EXPECT_EQ(target_of(with_disk_claims(1), result_with({"/volumes/disk-0/disk.img"})), "web-disk-0");
  EXPECT_EQ(target_of(with_disk_claims(3), result_with({})), "web-disk-0 and 2 more");
}

}  // namespace
}  // namespace hyper2kvm::conversion
