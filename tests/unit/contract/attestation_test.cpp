#include "runner/contract/attestation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace hyper2kvm::contract {
namespace {

using nlohmann::json;

Report a_report() {
  Report report;
  report.success = true;
  report.inputs = {{.disk_id = "disk-0",
                    .path = "/in/web 01.ova",
                    .offset = 1024,
                    .size_bytes = 7,
                    .checksum = "sha256:aa"}};
  report.artifacts = {
      {.path = "/out/disk-0.qcow2",
       .disk_id = "disk-0",
       .format = "qcow2",
       .virtual_size_bytes = 4096,
       .checksum = "sha256:bb"},
      {.path = "/dev/vg/data", .disk_id = "disk-1", .format = "raw", .checksum = "sha256:cc"}};
  report.tools = {{"qemu-img", "7.2.22"}};
  report.stages.push_back({.name = "fix",
                           .success = true,
                           .result = {{"edits",
                                       {{{"path", "/etc/fstab"},
                                         {"action", "changed"},
                                         {"reason", "Why."},
                                         {"diff", "-a\n+b\n"},
                                         {"summary", ""}}}}}});
  report.boot_facts = {{.name = "root", .subject = "UUID=1", .holds = true, .detail = "disk0p1"}};
  return report;
}

json statement_of(const Report& report, const Manifest& manifest = {}) {
  return make_statement(report, manifest, "/out/report.json", "dd", {});
}

TEST(Attestation, IsAnInTotoStatementAboutTheDisks) {
  json statement = statement_of(a_report());
  EXPECT_EQ(statement["_type"], "https://in-toto.io/Statement/v1");
  EXPECT_EQ(statement["predicateType"], "https://slsa.dev/provenance/v1");
  EXPECT_EQ(statement["subject"][0]["name"], "disk-0.qcow2");
  EXPECT_EQ(statement["subject"][0]["digest"], (json{{"sha256", "bb"}}));
  EXPECT_EQ(statement["subject"][1]["name"], "/dev/vg/data") << "what lies elsewhere is named in full";
}

TEST(Attestation, SaysWhatWentInAndWithWhatItWasMade) {
  json predicate = statement_of(a_report())["predicate"];
  EXPECT_EQ(predicate["buildDefinition"]["resolvedDependencies"], json::parse(R"([
    {"name": "disk-0", "uri": "file:///in/web%2001.ova", "digest": {"sha256": "aa"},
     "annotations": {"offset": 1024, "size_bytes": 7}}])"));
  EXPECT_EQ(predicate["runDetails"]["builder"]["version"]["qemu-img"], "7.2.22");
  EXPECT_EQ(predicate["runDetails"]["byproducts"],
            json::parse(R"([{"name": "report.json", "digest": {"sha256": "dd"}}])"));
}

TEST(Attestation, ListsEveryEditWithoutItsDiff) {
  EXPECT_EQ(statement_of(a_report())["predicate"]["buildDefinition"]["internalParameters"]["guest_edits"],
            json::parse(R"([{"path": "/etc/fstab", "action": "changed", "reason": "Why.", "summary": ""}])"));
}

TEST(Attestation, LeavesTheConfigurationOut) {
  Manifest manifest;
  manifest.has_pipeline = true;
  manifest.configuration.users.push_back({.name = "ada", .password_hash = "$6$x$y"});
  json parameters = statement_of(a_report(), manifest)["predicate"]["buildDefinition"]["externalParameters"];
  EXPECT_TRUE(parameters.contains("pipeline"));
  EXPECT_FALSE(parameters.contains("configuration"));
}

TEST(Attestation, WhatHasNoDigestIsNoSubject) {
  Report report = a_report();
  report.artifacts[1].checksum.clear();
  report.inputs[0].checksum.clear();
  json statement = statement_of(report);
  EXPECT_EQ(statement["subject"].size(), 1u);
  EXPECT_FALSE(statement["predicate"]["buildDefinition"]["resolvedDependencies"][0].contains("digest"));
}

TEST(Attestation, StandsBesideTheReport) {
  EXPECT_EQ(attestation_path("/out/report.json"), "/out/report.intoto.json");
  EXPECT_EQ(attestation_path("/out/a.b"), "/out/a.intoto.json");
}

}  // namespace
}  // namespace hyper2kvm::contract
