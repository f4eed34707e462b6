#include "operator/conversion/conversion.h"

#include <gtest/gtest.h>

#include "tests/unit/conversion/samples.h"

namespace hyper2kvm::conversion {
namespace {

TEST(Conversion, IsReadFromItsObject) {
  Json object = sample_object();
  object["spec"]["vm"]["name"] = "web01";
  object["spec"]["pipeline"] = {{"fix", {{"enabled", false}}},
                                {"convert", {{"compress", true}, {"compress_level", 4}}}};
  object["spec"]["timeout"] = "90m";
  object["spec"]["ttlSecondsAfterFinished"] = 60;
  object["spec"]["runner"] = {{"image", "runner:1"}, {"nodeSelector", {{"disk", "fast"}}}};
  Conversion conversion = read_conversion(object);
  EXPECT_EQ(conversion.key.to_string(), "vms/web");
  EXPECT_TRUE(conversion.has_finalizer);
  EXPECT_EQ(conversion.spec.source_claim, "exports");
  EXPECT_EQ(conversion.spec.path, "web/web.ova");
  EXPECT_EQ(conversion.spec.vm, Json({{"name", "web01"}}));
  EXPECT_EQ(conversion.spec.pipeline, object["spec"]["pipeline"]);
  EXPECT_TRUE(conversion.spec.compress);
  EXPECT_EQ(conversion.spec.ttl, std::chrono::seconds(60));
  EXPECT_EQ(conversion.spec.node_selector, Json({{"disk", "fast"}}));
  EXPECT_EQ(conversion.output_claim_name(), "disks");
  EXPECT_EQ(conversion.output_directory(), "web");
  EXPECT_EQ(problem_of(conversion.spec), "");
}

TEST(Conversion, AStrangeObjectIsReadAsFarAsItGoes) {
  for (const char* text :
       {"{}", "[]", R"({"spec": 7})", R"({"spec": {"source": [], "retry": {"limit": "x"}}})",
        R"({"status": {"conditions": 1, "artifacts": [1, {"sizeBytes": "x"}], "progress": []}})"}) {
    Conversion conversion = read_conversion(Json::parse(text));
    EXPECT_NE(problem_of(conversion.spec), "") << text;
    EXPECT_EQ(conversion.spec.retry_limit, 3u);
  }
}

TEST(Conversion, NumbersOutsideOfTheSchemaAreHeldToIt) {
  Json object = sample_object();
  object["spec"]["retry"] = {{"limit", -1}, {"backoffSeconds", 1LL << 60}};
  object["spec"]["ttlSecondsAfterFinished"] = 1LL << 62;
  Conversion conversion = read_conversion(object);
  EXPECT_EQ(conversion.spec.retry_limit, 0u);
  EXPECT_EQ(conversion.spec.retry_backoff, std::chrono::seconds(86400));
  EXPECT_EQ(conversion.spec.ttl, std::chrono::seconds(10LL * 365 * 86400));
}

TEST(Conversion, TheClaimThatItMakesIsNamedAfterIt) {
  Json object = sample_object();
  object["spec"]["output"] = {{"volumeClaimTemplate", {{"storage", "10Gi"}}}, {"path", "a/b"}};
  Conversion conversion = read_conversion(object);
  EXPECT_TRUE(conversion.makes_its_claim());
  EXPECT_EQ(conversion.output_claim_name(), "web-disks");
  EXPECT_EQ(conversion.output_directory(), "a/b");
  EXPECT_EQ(problem_of(conversion.spec), "");
}

TEST(Conversion, WhatAnOlderServerLetsThroughIsRefusedWithASentence) {
  struct {
    const char* patch;
    const char* says;
  } cases[] = {
      {R"({"source": {"disks": ["a.vmdk"]}})", "either spec.source.path or spec.source.disks"},
      {R"({"source": {"path": "/etc/passwd"}})", "absolute"},
      {R"({"source": {"path": "a/../../b"}})", "leads out"},
      {R"({"source": {"path": ".."}})", "leads out"},
      {R"({"source": {"path": "a\nb"}})", "control character"},
      {R"({"source": {"path": null, "disks": ["a.vmdk", "../b.vmdk"]}})", "spec.source.disks[1]"},
      {R"({"source": {"persistentVolumeClaim": null}})", "claimName is empty"},
      {R"({"output": {"volumeClaimTemplate": {"storage": "1Gi"}}})", "Name one of spec.output"},
      {R"({"output": {"persistentVolumeClaim": null}})", "Name one of spec.output"},
      {R"({"output": {"path": "../x"}})", "leads out"},
      {R"({"timeout": "0s"})", "spec.timeout"},
      {R"({"timeout": "soon"})", "spec.timeout"},
      {R"({"pipeline": {"convert": {"compress": true}}, "output": {"format": "raw"}})", "compression"},
  };
  for (const auto& one : cases) {
    Json object = sample_object();
    object["spec"].merge_patch(Json::parse(one.patch));
    std::string problem = problem_of(read_conversion(object).spec);
    EXPECT_NE(problem.find(one.says), std::string::npos) << one.patch << ": " << problem;
  }
}

TEST(Timeout, IsHoursMinutesAndSeconds) {
  EXPECT_EQ(parse_timeout("90m"), std::chrono::minutes(90));
  EXPECT_EQ(parse_timeout("2h"), std::chrono::hours(2));
  EXPECT_EQ(parse_timeout("1h2m3s"), std::chrono::seconds(3723));
  for (const char* text :
       {"", "5", "h", "1m2h", "1h1h", "-1h", "1.5h", "0s", "99999999h", "99999999999999999999s", "1d"})
    EXPECT_EQ(parse_timeout(text), std::nullopt) << text;
}

}  // namespace
}  // namespace hyper2kvm::conversion
