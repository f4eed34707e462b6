#include "runner/daemon/engine_manifest.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "manifests.h"

namespace hyper2kvm::daemon {
namespace {

class EngineManifestTest : public ::testing::Test {
 protected:
  EngineManifestTest() {
    submitted = contract::parse_manifest(manifest_text("web"), "m.json");
    job.result_name = "web";
    job.disks = {"/exports/disk.raw"};
    settings.output_dir = "/out";
  }
  contract::Manifest made() const { return engine_manifest(submitted, job, settings); }
  contract::ParsedManifest submitted;
  Job job;
  Settings settings;
};

TEST_F(EngineManifestTest, ResultsGoToTheInstancesOutputDirectory) {
  submitted.manifest.output.directory = "/somewhere/else";
  submitted.manifest.output.files = {{"disk-0", "/somewhere/else/disk.img"}};
  EXPECT_EQ(made().output.directory, "/out/machines/web");
  EXPECT_TRUE(made().output.files.empty());
  EXPECT_EQ(made().disks[0].local_path, "/exports/disk.raw");
}

TEST_F(EngineManifestTest, TheEngineReadsItBack) {
  settings.libvirt.integration = true;
  contract::Manifest read = contract::parse_manifest(contract::to_json(made()).dump(), "m.json").manifest;
  EXPECT_EQ(contract::to_json(read), contract::to_json(made()));
}

TEST_F(EngineManifestTest, TheCompressLevelIsSuppliedWhereTheManifestHasNone) {
  settings.compress_level = 9;
  EXPECT_EQ(made().pipeline.convert.compress_level, 9);
  submitted.manifest.pipeline.convert.compress_level = 3;
  EXPECT_EQ(made().pipeline.convert.compress_level, 3);
}

TEST_F(EngineManifestTest, LevelZeroMeansNoCompression) {
  settings.compress_level = 0;
  EXPECT_FALSE(made().pipeline.convert.compress);
}

TEST_F(EngineManifestTest, ConvertOptionsAreDefaults) {
  settings.convert.format = contract::OutputFormat::kRaw;
  EXPECT_EQ(made().output.format, contract::OutputFormat::kRaw);
  EXPECT_FALSE(made().pipeline.convert.compress);
  submitted.manifest.output.format = contract::OutputFormat::kVdi;
  EXPECT_EQ(made().output.format, contract::OutputFormat::kVdi);
  settings = {};
  submitted.manifest.output.format = contract::OutputFormat::kQcow2;
  submitted.manifest.pipeline.convert.compress = false;
  EXPECT_FALSE(made().pipeline.convert.compress);
  settings.convert.compress = true;
  EXPECT_TRUE(made().pipeline.convert.compress);
}

TEST_F(EngineManifestTest, LibvirtIsSuppliedWhereTheInstanceSaysSo) {
  EXPECT_FALSE(made().libvirt);
  settings.libvirt = {
      .integration = true, .uri = "qemu:///session", .bridge = "br0", .pool = "vms", .autostart = true};
  ASSERT_TRUE(made().libvirt);
  EXPECT_TRUE(made().libvirt->enabled);
  EXPECT_EQ(made().libvirt->uri, "qemu:///session");
  EXPECT_EQ(made().libvirt->bridge, "br0");
  EXPECT_EQ(made().libvirt->pool, "vms");
  EXPECT_TRUE(made().libvirt->autostart);
  EXPECT_FALSE(made().libvirt->overwrite);
  submitted.manifest.libvirt = contract::Libvirt{};
  EXPECT_FALSE(made().libvirt->enabled) << "a manifest that says so itself has its way";
}

TEST_F(EngineManifestTest, ARegistrationThatWasCutOffMayBeRepeated) {
  settings.libvirt.integration = true;
  job.register_begun = true;
  EXPECT_TRUE(made().libvirt->overwrite);
}

TEST_F(EngineManifestTest, SourcesAreOnlyRemovedAfterAValidation) {
  submitted.manifest.pipeline.validate.enabled = false;
  EXPECT_FALSE(made().pipeline.validate.enabled);
  settings.cleanup_source = true;
  EXPECT_TRUE(made().pipeline.validate.enabled);
  EXPECT_TRUE(made().pipeline.validate.check_image_integrity);
}

TEST_F(EngineManifestTest, TheReportIsAlwaysWritten) {
  submitted.manifest.options.report_enabled = false;
  EXPECT_TRUE(made().options.report_enabled);
}

}  // namespace
}  // namespace hyper2kvm::daemon
