#include "operator/conversion/claims.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/unit/conversion/samples.h"

namespace hyper2kvm::conversion {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Remedy = Lack::Remedy;

// "" where nothing is lacking.
std::string reason_in(const std::optional<Lack>& lack) { return lack ? lack->reason : ""; }

Observed with_output(const Json& output) {
  Json object = sample_object();
  object["spec"]["output"] = output;
  return observed(read_conversion(object));
}

Observed with_template() { return with_output({{"volumeClaimTemplate", {{"storage", "1Gi"}}}}); }
Observed with_data_volume() {
  return with_output({{"volumeClaimTemplate", {{"storage", "1Gi"}, {"dataVolume", true}}}});
}

// One disk, whose claim is there.
Observed with_disk_claim(const Json& claim_template = Json::object()) {
  Observed seen = with_output({{"diskClaimTemplates", Json::array({claim_template})}});
  seen.conversion.status.disks = {{"disk-0", 1 << 30, 0, "web-disk-0"}};
  seen.disk_claims = {ClaimView{{"vms", "web-disk-0"}, "claim", seen.conversion.uid, false, false}};
  return seen;
}

TEST(Claims, NothingIsLackingWhereTheyAreThere) {
  Observed seen = observed(sample());
  EXPECT_FALSE(lack_of_source(seen));
  EXPECT_FALSE(lack_of_output(seen));
  EXPECT_FALSE(lack_of_disk_claim(with_disk_claim(), 0));
}

TEST(Claims, ASourceIsSomebodysToMake) {
  Observed seen = observed(sample());
  seen.source_claim->is_being_deleted = true;
  EXPECT_EQ(reason_in(lack_of_source(seen)), "SourceMissing");
  seen.source_claim.reset();
  std::optional<Lack> lack = lack_of_source(seen);
  ASSERT_TRUE(lack);
  EXPECT_EQ(lack->message, "The claim exports with the exported machine does not exist.");
  EXPECT_EQ(lack->remedy, Remedy::kPerson);
}

TEST(Claims, ASourceThatIsABlockVolumeHasNoFiles) {
  Observed seen = observed(sample());
  seen.source_claim->is_block = true;
  EXPECT_EQ(reason_in(lack_of_source(seen)), "SourceIsBlock");
  seen.conversion.spec.path.clear();
  EXPECT_FALSE(lack_of_source(seen));
  seen.conversion.spec.disks = {"a.vmdk"};
  EXPECT_EQ(reason_in(lack_of_source(seen)), "SourceIsBlock");
}

TEST(Claims, AnOutputIsMadeWhereThereIsATemplateAndElseSomebodysToMake) {
  Observed seen = observed(sample());
  seen.output_claim.reset();
  std::optional<Lack> lack = lack_of_output(seen);
  ASSERT_TRUE(lack);
  EXPECT_EQ(lack->reason, "OutputMissing");
  EXPECT_EQ(lack->remedy, Remedy::kPerson);
  for (Observed made : {with_template(), with_data_volume()}) {
    made.output_claim.reset();
    lack = lack_of_output(made);
    ASSERT_TRUE(lack);
    EXPECT_EQ(lack->reason, "MakingClaim");
    EXPECT_EQ(lack->remedy, Remedy::kMake);
  }
}

TEST(Claims, AnOutputThatIsBeingDeletedIsNoneYet) {
  Observed seen = with_template();
  seen.output_claim->conversion_uid = seen.conversion.uid;
  EXPECT_FALSE(lack_of_output(seen));
  seen.output_claim->is_being_deleted = true;
  EXPECT_EQ(reason_in(lack_of_output(seen)), "OutputMissing");
}

TEST(Claims, ABlockVolumeTakesOneRawDiskOfSomethingElse) {
  struct {
    std::function<void(Observed&)> change;
    const char* words;  // empty: it can take the disk
  } cases[] = {
      {[](Observed&) {}, ""},
      {[](Observed& seen) { seen.conversion.spec.format = "raw"; }, ""},
      {[](Observed& seen) { seen.conversion.spec.format = "qcow2"; }, "no qcow2. Set spec.output.format"},
      {[](Observed& seen) { seen.conversion.spec.compress = true; }, "cannot be compressed"},
      {[](Observed& seen) {
         seen.conversion.spec.disks = {"a", "b"};
       },
       "spec.source names 2"},
      {[](Observed& seen) { seen.conversion.spec.output_claim = "exports"; }, "and the source too"},
      {[](Observed& seen) { seen.conversion.spec.libvirt = LibvirtWishes{}; }, "libvirt's pool"},
  };
  for (const auto& one : cases) {
    Observed seen = observed(sample());
    seen.output_claim->is_block = true;
    one.change(seen);
    std::optional<Lack> lack = lack_of_output(seen);
    EXPECT_EQ(reason_in(lack), *one.words == '\0' ? "" : "OutputIsBlock") << one.words;
    EXPECT_THAT(lack ? lack->message : "", HasSubstr(one.words));
  }
}

TEST(Claims, ANameThatIsTakenIsSaidInOneWayWhateverHasIt) {
  std::vector<std::pair<const char*, std::optional<Lack>>> lacks;
  lacks.emplace_back("claim web-disks", lack_of_output(with_template()));
  // A claim that no DataVolume stands for.
  lacks.emplace_back("claim web-disks", lack_of_output(with_data_volume()));
  Observed seen = with_data_volume();
  seen.data_volumes = {DataVolumeView{{"vms", "web-disks"}, "dv", "somebody-else", "Succeeded", "", false}};
  lacks.emplace_back("DataVolume web-disks", lack_of_output(seen));
  seen.data_volumes[0].conversion_uid = seen.conversion.uid;
  EXPECT_FALSE(lack_of_output(seen));
  seen.data_volumes[0].is_being_deleted = true;
  lacks.emplace_back("DataVolume web-disks", lack_of_output(seen));
  seen = with_disk_claim();
  seen.disk_claims[0].is_being_deleted = true;
  lacks.emplace_back("claim web-disk-0", lack_of_disk_claim(seen, 0));
  seen.disk_claims[0].is_being_deleted = false;
  seen.disk_claims[0].conversion_uid = "somebody-else";
  lacks.emplace_back("claim web-disk-0", lack_of_disk_claim(seen, 0));
  for (const auto& [name, lack] : lacks) {
    ASSERT_TRUE(lack) << name;
    EXPECT_EQ(lack->reason, "ClaimExists") << name;
    EXPECT_EQ(lack->remedy, Remedy::kPerson) << name;
    EXPECT_EQ(lack->message, "There is a " + std::string(name) +
                                 " already, which was not made for this conversion or is being deleted. "
                                 "Delete it, rename the conversion, or name an existing claim in "
                                 "spec.output.persistentVolumeClaim.");
  }
}

TEST(Claims, TheOneOfADataVolumeIsReadyWhenCdiIsDone) {
  Observed seen = with_disk_claim({{"dataVolume", true}});
  seen.data_volumes = {
      DataVolumeView{{"vms", "web-disk-0"}, "dv", seen.conversion.uid, "Succeeded", "", false}};
  EXPECT_FALSE(lack_of_disk_claim(seen, 0));
  seen.data_volumes[0].phase = "ImportInProgress";
  std::optional<Lack> lack = lack_of_disk_claim(seen, 0);
  ASSERT_TRUE(lack);
  EXPECT_EQ(lack->remedy, Remedy::kTime);
  EXPECT_EQ(lack->message, "CDI makes the claim of the DataVolume web-disk-0 (ImportInProgress).");
  seen.data_volumes[0].phase = "Failed";
  seen.data_volumes[0].problem = "quota";
  lack = lack_of_disk_claim(seen, 0);
  ASSERT_TRUE(lack);
  EXPECT_EQ(lack->remedy, Remedy::kPerson);
  EXPECT_THAT(lack->message, AllOf(StartsWith("CDI could not"), HasSubstr("It says: quota")));
}

TEST(Claims, TheOneOfADiskIsMadeWhereItIsMissing) {
  for (const Json& claim_template : {Json::object(), Json::object({{"dataVolume", true}})}) {
    Observed seen = with_disk_claim(claim_template);
    seen.disk_claims.clear();
    std::optional<Lack> lack = lack_of_disk_claim(seen, 0);
    ASSERT_TRUE(lack) << claim_template;
    EXPECT_EQ(lack->remedy, Remedy::kMake) << claim_template;
    EXPECT_THAT(lack->message, HasSubstr("web-disk-0"));
  }
}

}  // namespace
}  // namespace hyper2kvm::conversion
