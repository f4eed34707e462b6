// Disks as DataVolumes, with CDI's own definition of them, where the environment says where it is. No CDI
// runs: the test makes the claims, as CDI would, and tells the phases.
#include <gmock/gmock.h>

#include "tests/e2e/conversion/conversions.h"

namespace hyper2kvm::conversion {
namespace {

class DataVolumes : public Registrations {
 protected:
  Json volume(const std::string& name) { return client.get(kDataVolumes, key(name)); }
  // Gone, or only held back by the server's own protection of claims.
  bool is_gone(const kube::ResourceType& type, const std::string& name) {
    auto left = client.find(type, key(name));
    return !left || kube::is_being_deleted(*left);
  }
  const kube::ResourceType& kClaims = kube::types::kPersistentVolumeClaims;
};

TEST_F(DataVolumes, AreWaitedForAndBecomeTheMachinesDisks) {
  start_operator();
  install_kubevirt();
  add("web", {{"output",
               {{"persistentVolumeClaim", nullptr},
                {"diskClaimTemplates",
                 {{{"dataVolume", true}, {"storageClassName", "fast"}, {"accessModes", {"ReadWriteOnce"}}},
                  {{"dataVolume", true}, {"volumeMode", "Block"}}}}}},
              {"register", {{"kubevirt", Json::object()}}}});
  ASSERT_TRUE(eventually([&] { return reason_of("web", "Ready") == "CDIMissing"; }));
  EXPECT_TRUE(jobs().empty());
  install_cdi();
  ASSERT_TRUE(eventually([&] { return pods().size() == 1; })) << status_of("web").message;
  end(pods()[0], survey(2));
  ASSERT_TRUE(eventually([&] { return client.list(kDataVolumes, in_namespace()).size() == 2; }))
      << status_of("web").message;
  // The server has dropped nothing that the definition does not know.
  EXPECT_EQ(volume("web-disk-0")["spec"], Json::parse(R"({
    "source": {"blank": {}}, "preallocation": false,
    "storage": {"volumeMode": "Filesystem", "accessModes": ["ReadWriteOnce"], "storageClassName": "fast",
                "resources": {"requests": {"storage": "1024Mi"}}}})"));
  EXPECT_EQ(volume("web-disk-1")["spec"]["storage"]["volumeMode"], "Block");
  EXPECT_TRUE(eventually([&] { return reason_of("web", "Running") == "MakingClaims"; }));
  EXPECT_EQ(jobs().size(), 1u) << "nothing is written before CDI is done";
  play_cdi();
  ASSERT_TRUE(eventually([&] { return pods().size() == 2; })) << status_of("web").message;
  contract::Report report = survey(2);
  for (contract::Artifact& artifact : report.artifacts) artifact.type = contract::kConvertedDisk;
  report.machine = success_with_machine().machine;
  for (const Json& pod : pods())
    if (!has_ended(pod)) end(pod, report);
  ASSERT_TRUE(becomes("web", Phase::kSucceeded)) << status_of("web").message;
  EXPECT_EQ(client.get(kubevirt::kVirtualMachines, key("web"))["spec"]["template"]["spec"]["volumes"],
            Json::parse(R"([{"name": "disk-0", "dataVolume": {"name": "web-disk-0"}},
                            {"name": "disk-1", "dataVolume": {"name": "web-disk-1"}}])"));
  client.remove(kConversions, key("web"));
  EXPECT_TRUE(eventually([&] { return !client.find(kConversions, key("web")); }));
  EXPECT_FALSE(is_gone(kDataVolumes, "web-disk-0"));
  EXPECT_FALSE(is_gone(kClaims, "web-disk-0"));
}

TEST_F(DataVolumes, GoWithTheirClaimsWhenTheConversionIsCancelled) {
  install_kubevirt();
  install_cdi();
  start_operator();
  add("web", {{"output",
               {{"persistentVolumeClaim", nullptr},
                {"volumeClaimTemplate", {{"dataVolume", true}, {"storage", "1Gi"}}}}},
              {"register", {{"kubevirt", Json::object()}}}});
  ASSERT_TRUE(eventually([&] { return client.find(kDataVolumes, key("web-disks")).has_value(); }))
      << status_of("web").message;
  play_cdi();
  ASSERT_TRUE(eventually([&] { return pods().size() == 1; })) << status_of("web").message;
  client.remove(kConversions, key("web"));
  EXPECT_TRUE(eventually([&] { return !client.find(kConversions, key("web")); }));
  EXPECT_FALSE(client.find(kDataVolumes, key("web-disks")));
  EXPECT_TRUE(is_gone(kClaims, "web-disks"));
  EXPECT_TRUE(jobs().empty());
}

}  // namespace
}  // namespace hyper2kvm::conversion
