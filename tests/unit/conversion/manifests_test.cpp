#include "operator/conversion/manifests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/conversion/samples.h"

namespace hyper2kvm::conversion {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const RunnerDefaults kDefaults{.image = "runner:1"};

Conversion with(const Json& patch) {
  Json object = sample_object();
  object["spec"].merge_patch(patch);
  return read_conversion(object);
}

TEST(JobName, IsTheSameForTheSameAttemptAndFitsALabel) {
  EXPECT_EQ(job_name(sample(), 2), "web-01234567-2");
  Conversion longer = sample();
  longer.key.name = std::string(35, 'a') + "." + std::string(200, 'b');
  std::string name = job_name(longer, 100);
  EXPECT_EQ(name, std::string(35, 'a') + "-01234567-100");
  EXPECT_LE(name.size() + 6, 63u);
}

TEST(RunnerCommand, NamesTheInputAndTheOutput) {
  EXPECT_THAT(runner_command(sample()),
              ElementsAre("hyper2kvm", "convert", "/source/web/web.ova", "--output=/output/web",
                          R"(--override={"pipeline":{"convert":{"enabled":true}}})", "--log-format=json",
                          "--termination-message=/dev/termination-log"));
}

TEST(RunnerCommand, SaysWhatTheSpecSays) {
  Conversion conversion = with(Json::parse(R"({
      "source": {"path": null, "disks": ["-a.vmdk", "b.vmdk"]}, "vm": {"name": "-x", "mem_gb": 8},
      "pipeline": {"fix": {"enabled": false}, "convert": {"compress_level": 3}},
      "output": {"format": "qcow2", "path": "out"}, "runner": {"rateLimit": "10M"}})"));
  EXPECT_THAT(
      runner_command(conversion),
      ElementsAre("hyper2kvm", "convert", "/source/-a.vmdk", "/source/b.vmdk", "--output=/output/out",
                  "--output-format=qcow2", "--name=-x",
                  R"(--override={"pipeline":{"convert":{"compress":true,"compress_level":3,"enabled":true},)"
                  R"("fix":{"enabled":false},"inspect":{"enabled":false}},"vm":{"mem_gb":8}})",
                  "--rate-limit=10M", "--log-format=json", "--termination-message=/dev/termination-log"));
}

TEST(MakeJob, HasTheKeysOfEncryptedVolumesAsFilesThatItCannotChange) {
  Conversion encrypted = with(Json::parse(R"({"source": {"keys": {"secretName": "web-keys"}}})"));
  EXPECT_THAT(runner_command(encrypted), Contains("--key-directory=/credentials/keys"));
  Json pod = make_job(encrypted, 1, kDefaults, std::nullopt)["spec"]["template"]["spec"];
  EXPECT_THAT(pod["volumes"], Contains(Json::parse(R"({"name": "keys", "secret":
      {"secretName": "web-keys", "defaultMode": 256, "optional": true}})")));
  EXPECT_THAT(
      pod["containers"][0]["volumeMounts"],
      Contains(Json::parse(R"({"name": "keys", "mountPath": "/credentials/keys", "readOnly": true})")));
  // A survey opens no guest.
  EXPECT_THAT(runner_command(encrypted, {}, Work::kSurvey),
              Not(Contains("--key-directory=/credentials/keys")));
  Json survey = make_job(encrypted, 1, kDefaults, std::nullopt, {}, Work::kSurvey);
  EXPECT_THAT(survey.dump(), Not(HasSubstr("web-keys")));
  EXPECT_THAT(make_job(sample(), 1, kDefaults, std::nullopt).dump(), Not(HasSubstr("credentials")));
}

TEST(MakeJob, BelongsToItsConversion) {
  Json job = make_job(sample(), 1, kDefaults, std::nullopt);
  auto owner = kube::controller_of(job);
  ASSERT_TRUE(owner);
  EXPECT_EQ(owner->kind, "VMConversion");
  EXPECT_EQ(owner->uid, "0123456789abcdef");
  JobView view = read_job(job);
  EXPECT_EQ(view.key.to_string(), "vms/web-01234567-1");
  EXPECT_EQ(view.conversion_uid, "0123456789abcdef");
  EXPECT_EQ(view.conversion_name, "web");
  // The pods are found by the same marks.
  EXPECT_EQ(job["spec"]["template"]["metadata"]["labels"], job["metadata"]["labels"]);
  EXPECT_EQ(job["spec"]["backoffLimit"], 0);
}

TEST(MakeJob, ReadsABlockVolumeAsADevice) {
  Conversion conversion = sample();
  conversion.spec.path.clear();
  Json pod = make_job(conversion, 1, kDefaults, std::nullopt, {.source = true})["spec"]["template"]["spec"];
  Json container = pod["containers"][0];
  EXPECT_EQ(container["volumeDevices"], Json::parse(R"([{"name": "source", "devicePath": "/dev/source"}])"));
  for (const Json& mount : container["volumeMounts"]) EXPECT_NE(mount["name"], "source");
  EXPECT_EQ(pod["volumes"][0]["persistentVolumeClaim"], Json({{"claimName", "exports"}, {"readOnly", true}}));
  EXPECT_THAT(container["command"].get<std::vector<std::string>>(),
              testing::IsSupersetOf({"/dev/source", "--name=web"}));
  // At both ends.
  pod = make_job(conversion, 1, kDefaults, std::nullopt,
                 {.source = true, .output = true})["spec"]["template"]["spec"];
  EXPECT_EQ(pod["containers"][0]["volumeDevices"].size(), 2u);
}

TEST(MakeJob, WritesToABlockVolumeAsToADevice) {
  Json pod = make_job(sample(), 1, kDefaults, std::nullopt, {.output = true})["spec"]["template"]["spec"];
  Json container = pod["containers"][0];
  EXPECT_EQ(container["volumeDevices"], Json::parse(R"([{"name": "device", "devicePath": "/dev/output"}])"));
  EXPECT_THAT(container["command"].get<std::vector<std::string>>(), Contains("--output-device=/dev/output"));
  EXPECT_EQ(pod["volumes"][2]["name"], "device");
  EXPECT_EQ(pod["volumes"][2]["persistentVolumeClaim"]["claimName"], "disks");
  // The report and what is half made have a folder that goes with the pod.
  EXPECT_EQ(pod["volumes"].back()["name"], "output");
  EXPECT_TRUE(pod["volumes"].back().contains("emptyDir"));
}

TEST(MakeJob, MeetsTheRestrictedPodSecurityStandard) {
  Json pod = make_job(sample(), 1, kDefaults, std::nullopt)["spec"]["template"]["spec"];
  EXPECT_EQ(pod["automountServiceAccountToken"], false);
  EXPECT_EQ(pod["securityContext"]["runAsNonRoot"], true);
  EXPECT_EQ(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
  Json container = pod["containers"][0];
  EXPECT_EQ(container["image"], "runner:1");
  EXPECT_EQ(container["securityContext"]["allowPrivilegeEscalation"], false);
  EXPECT_EQ(container["securityContext"]["readOnlyRootFilesystem"], true);
  EXPECT_EQ(container["securityContext"]["capabilities"]["drop"], Json({"ALL"}));
  EXPECT_TRUE(container["resources"]["limits"].contains("memory"));
  EXPECT_TRUE(container["resources"]["requests"].contains("cpu"));
}

TEST(MakeJob, TheSourceIsReadOnlyAlsoWhereItIsTheOutputToo) {
  for (const Json& pod :
       {make_job(sample(), 1, kDefaults, std::nullopt)["spec"]["template"]["spec"],
        make_job(with({{"output", {{"persistentVolumeClaim", {{"claimName", "exports"}}}}}}), 1, kDefaults,
                 {})["spec"]["template"]["spec"]}) {
    std::set<std::string> claims, volumes, mounted;
    for (const Json& volume : pod["volumes"]) {
      volumes.insert(volume["name"]);
      if (!volume.contains("persistentVolumeClaim")) continue;
      bool is_new = claims.insert(volume["persistentVolumeClaim"]["claimName"]).second;
      EXPECT_TRUE(is_new) << "a claim is mounted once";
    }
    for (const Json& mount : pod["containers"][0]["volumeMounts"]) {
      mounted.insert(mount["name"]);
      EXPECT_EQ(mount.value("readOnly", false), mount["mountPath"] == "/source");
    }
    EXPECT_EQ(mounted, volumes);
  }
}

TEST(MakeJob, TakesTheSpecsWishesForThePod) {
  Json pod = make_job(with(Json::parse(R"({"runner": {"image": "mine:2", "imagePullPolicy": "Never",
      "resources": {"limits": {"memory": "8Gi"}}, "nodeSelector": {"disk": "fast"},
      "tolerations": [{"key": "k", "operator": "Exists"}]}})")),
                      1, kDefaults, 1)["spec"]["template"]["spec"];
  EXPECT_EQ(pod["containers"][0]["image"], "mine:2");
  EXPECT_EQ(pod["containers"][0]["imagePullPolicy"], "Never");
  EXPECT_EQ(pod["containers"][0]["resources"], Json({{"limits", {{"memory", "8Gi"}}}}));
  EXPECT_EQ(pod["nodeSelector"]["disk"], "fast");
  EXPECT_EQ(pod["tolerations"][0]["key"], "k");
}

TEST(MakeJob, KeepsItsPodOffTheNodesThatHaveARunnerInItsSlot) {
  RunnerDefaults defaults = kDefaults;
  Json pod = make_job(sample(), 1, defaults, 1)["spec"]["template"];
  EXPECT_EQ(read_pod(pod).node_slot, 1u);
  Json terms = pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
  ASSERT_EQ(terms.size(), 1u);
  EXPECT_EQ(terms[0]["topologyKey"], "kubernetes.io/hostname");
  for (const auto& [name, value] : terms[0]["labelSelector"]["matchLabels"].items())
    EXPECT_EQ(pod["metadata"]["labels"][name], value) << "the others of this slot are found by it";
  EXPECT_EQ(terms[0]["namespaceSelector"], Json::object());
  defaults.namespaces = {"one", "two"};
  terms = make_job(sample(), 1, defaults, 1)["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"]
                                            ["requiredDuringSchedulingIgnoredDuringExecution"];
  EXPECT_EQ(terms[0]["namespaces"], Json({"one", "two"}));
  EXPECT_FALSE(
      make_job(sample(), 1, defaults, std::nullopt)["spec"]["template"]["spec"].contains("affinity"));
}

TEST(MakeClaim, IsAsTheTemplateSaysAndOutlivesTheConversion) {
  Conversion conversion = with(Json::parse(R"({"output": {"persistentVolumeClaim": null,
      "volumeClaimTemplate": {"storage": "10Gi", "storageClassName": "fast", "accessModes": ["ReadWriteMany"]}}})"));
  Json claim = make_claim(conversion);
  EXPECT_EQ(claim["metadata"]["name"], "web-disks");
  EXPECT_EQ(read_claim(claim).conversion_uid, conversion.uid);
  EXPECT_FALSE(kube::controller_of(claim));
  EXPECT_EQ(claim["spec"]["resources"]["requests"]["storage"], "10Gi");
  EXPECT_EQ(claim["spec"]["storageClassName"], "fast");
  EXPECT_EQ(claim["spec"]["accessModes"], Json({"ReadWriteMany"}));
  conversion.spec.template_ = Json({{"storage", "1Gi"}});
  claim = make_claim(conversion);
  EXPECT_FALSE(claim["spec"].contains("storageClassName")) << "an empty class is not the default class";
  EXPECT_EQ(claim["spec"]["accessModes"], Json({"ReadWriteOnce"}));
}

}  // namespace
}  // namespace hyper2kvm::conversion
