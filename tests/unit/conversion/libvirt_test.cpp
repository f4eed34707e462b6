// spec.register.libvirt: what the runner is told and given, and what becomes of its answer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "operator/conversion/manifests.h"
#include "operator/conversion/registration.h"
#include "operator/conversion/words.h"
#include "tests/unit/conversion/samples.h"

namespace hyper2kvm::conversion {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

Conversion registering(const Json& patch = Json::object(), const Json& spec_patch = Json::object()) {
  Json object = sample_object();
  Json& wishes = object["spec"]["register"]["libvirt"];
  wishes = {{"uri", "qemu+tls://kvm1.example.org/system"}, {"secretName", "kvm1"}, {"pool", "default"}};
  wishes.merge_patch(patch);
  object["spec"].merge_patch(spec_patch);
  return read_conversion(object);
}

// The section `libvirt` that the runner is started with.
Json section_of(const Conversion& conversion) {
  for (const std::string& argument : runner_command(conversion))
    if (argument.starts_with("--override=")) return Json::parse(argument.substr(11))["libvirt"];
  return {};
}

// One whose runner has just ended with this.
Decision after(int exit_code, const std::string& message) {
  return decide(after_its_runner(observed(registering()), exit_code, message));
}

std::string success(const std::string& domain) {
  contract::Report report;
  report.success = true;
  report.artifacts.push_back({.path = "/output/web/disk-0.qcow2", .disk_id = "disk-0", .format = "qcow2"});
  if (!domain.empty())
    report.stages.push_back({.name = "register", .success = true, .result = {{"domain", domain}}});
  return contract::to_termination_message(report);
}

TEST(LibvirtRegistration, IsToldToTheRunnerInTheManifestsWords) {
  EXPECT_THAT(problem_of(registering().spec), IsEmpty());
  Json section = section_of(registering({{"name", "Web 01"}, {"bridge", "br0"}, {"start", true}}));
  EXPECT_EQ(section, Json::parse(R"({"enabled": true, "pool": "default", "name": "Web 01", "bridge": "br0",
      "network": null, "start": true, "autostart": false, "overwrite": false,
      "uri": "qemu+tls://kvm1.example.org/system?pkipath=/credentials/libvirt"})"));
  EXPECT_EQ(section_of(registering({{"uri", "qemu+ssh://root@[fe80::1]:22/system"}}))["uri"],
            "qemu+ssh://root@[fe80::1]:22/system?keyfile=/credentials/libvirt/ssh-privatekey"
            "&known_hosts=/credentials/libvirt/known_hosts");
  EXPECT_TRUE(section_of(sample()).is_null());
}

TEST(LibvirtRegistration, GivesTheSecretToThePodAsFilesThatItCannotChange) {
  Json job = make_job(registering(), 1, {.image = "runner"}, std::nullopt);
  const Json& pod = job["spec"]["template"];
  EXPECT_EQ(pod["metadata"]["labels"][kRegistersLabel], "libvirt");
  const Json& volumes = pod["spec"]["volumes"];
  auto volume = std::ranges::find_if(volumes, [](const Json& one) { return one["name"] == "libvirt"; });
  ASSERT_NE(volume, volumes.end());
  EXPECT_EQ((*volume)["secret"],
            Json::parse(R"({"secretName": "kvm1", "defaultMode": 256, "optional": true})"));
  const Json& mounts = pod["spec"]["containers"][0]["volumeMounts"];
  auto mount = std::ranges::find_if(mounts, [](const Json& one) { return one["name"] == "libvirt"; });
  ASSERT_NE(mount, mounts.end());
  EXPECT_EQ((*mount)["mountPath"], "/credentials/libvirt");
  EXPECT_EQ((*mount)["readOnly"], true);
  job = make_job(sample(), 1, {.image = "runner"}, std::nullopt);
  EXPECT_FALSE(job["spec"]["template"]["metadata"]["labels"].contains(kRegistersLabel));
  EXPECT_THAT(job.dump(), testing::Not(HasSubstr("secret")));
}

TEST(LibvirtRegistration, WhatCannotWorkIsNotAccepted) {
  for (const char* uri : {"qemu:///system", "qemu+tcp://h/system", "qemu+tls:///system",
                          "qemu+tls://h/session", "qemu+tls://h/system?pkipath=/x", "qemu+ssh://h&x=1/system",
                          "qemu+ssh://h/system#x", "xen+tls://h/system", ""})
    EXPECT_THAT(problem_of(registering({{"uri", uri}}).spec), HasSubstr("no libvirt that a pod can reach"))
        << uri;
  EXPECT_THAT(problem_of(registering({{"secretName", nullptr}}).spec), HasSubstr("Name the Secret"));
  EXPECT_THAT(problem_of(registering({{"pool", nullptr}}).spec), HasSubstr("Name a storage pool"));
  EXPECT_THAT(problem_of(registering({{"network", "a"}, {"bridge", "b"}}).spec), StartsWith("Name either"));
  EXPECT_THAT(problem_of(registering(Json::object(), {{"register", {{"kubevirt", Json::object()}}}}).spec),
              StartsWith("Name either spec.register.kubevirt"));
  Json of_each = {{"output", {{"persistentVolumeClaim", nullptr}, {"diskClaimTemplates", {Json::object()}}}}};
  EXPECT_THAT(problem_of(registering(Json::object(), of_each).spec),
              HasSubstr("is converted into one claim"));
  Observed seen = observed(registering());
  seen.output_claim->is_block = true;
  Decision decision = decide(seen);
  EXPECT_TRUE(decision.actions.empty());
  EXPECT_EQ(reason_of(decision.status, "Ready"), "OutputIsBlock");
}

TEST(LibvirtRegistration, IsWhatTheRunnerSaysOfIt) {
  Decision decision = after(0, success("web"));
  EXPECT_EQ(decision.status.phase, Phase::kSucceeded);
  EXPECT_EQ(value_of(decision.status, "Registered"), "True");
  EXPECT_EQ(value_of(decision.status, "Ready"), "True");
  auto condition = kube::find_condition(decision.status.conditions, "Registered");
  ASSERT_TRUE(condition);
  EXPECT_EQ(condition->message, "The domain web was made at qemu+tls://kvm1.example.org/system.");

  decision = after(0, success(""));
  EXPECT_EQ(decision.status.phase, Phase::kFailed);
  EXPECT_EQ(reason_of(decision.status, "Registered"), "NotRegistered");
  EXPECT_EQ(decision.status.failed_stage, "register");
}

TEST(LibvirtRegistration, ThatFailsIsInTheConditionWithItsStage) {
  const std::string sentence = "qemu+tls://kvm1/system: cannot connect: not trusted.";
  Decision decision = after(1, failure_message("register", sentence, false));
  EXPECT_EQ(decision.status.phase, Phase::kFailed);
  EXPECT_EQ(decision.status.failed_stage, "register");
  EXPECT_EQ(value_of(decision.status, "Registered"), "False");
  EXPECT_EQ(value_of(decision.status, "Failed"), "True");
  auto condition = kube::find_condition(decision.status.conditions, "Registered");
  ASSERT_TRUE(condition);
  EXPECT_EQ(condition->message, "The stage register failed: " + sentence);
  // What may pass is tried again.
  EXPECT_EQ(after(1, failure_message("register", sentence, true)).status.phase, Phase::kPending);
}

TEST(LibvirtRegistration, OfADryRunIsNone) {
  Decision decision = after(0, survey_message(1));
  EXPECT_EQ(decision.status.phase, Phase::kFailed);
  EXPECT_EQ(reason_of(decision.status, "Failed"), "NothingConverted");
  EXPECT_EQ(value_of(decision.status, "Registered"), "False");
}

}  // namespace
}  // namespace hyper2kvm::conversion
