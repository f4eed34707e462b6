#include <gmock/gmock.h>

#include "tests/unit/contract/documents.h"

namespace hyper2kvm::contract {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Pipeline, WithoutOneEveryStageIsOff) {
  Manifest manifest = manifest_of(small_manifest());
  EXPECT_FALSE(manifest.has_pipeline);
  EXPECT_FALSE(manifest.pipeline.inspect.enabled);
  EXPECT_FALSE(manifest.pipeline.fix.enabled);
  EXPECT_FALSE(manifest.pipeline.convert.enabled);
  EXPECT_FALSE(manifest.pipeline.validate.enabled);
}

TEST(Pipeline, AStageThatIsAbsentIsOff) {
  Manifest manifest = manifest_of(manifest_with("/pipeline/convert/enabled", true));
  EXPECT_TRUE(manifest.has_pipeline);
  EXPECT_TRUE(manifest.pipeline.convert.enabled);
  EXPECT_FALSE(manifest.pipeline.inspect.enabled);
  EXPECT_FALSE(manifest.pipeline.fix.enabled);
  EXPECT_FALSE(manifest.pipeline.validate.enabled);
  EXPECT_TRUE(manifest_of(manifest_with("/pipeline", json::object())).has_pipeline);
}

TEST(Pipeline, AStageWithoutEnabledIsOffAndThatIsPointedOut) {
  ParsedManifest result = parsed(manifest_with("/pipeline/fix/backup", false));
  EXPECT_FALSE(result.manifest.pipeline.fix.enabled);
  EXPECT_THAT(result.warnings,
              ElementsAre("pipeline.fix.enabled: absent, which means false: the stage is off"));
}

TEST(Pipeline, EveryStageIsSwitchedOnByItsOwnKey) {
  for (const char* stage : {"inspect", "fix", "convert", "validate"}) {
    const Pipeline pipeline =
        manifest_of(manifest_with(std::string("/pipeline/") + stage + "/enabled", true)).pipeline;
    EXPECT_EQ(pipeline.inspect.enabled, stage == std::string("inspect"));
    EXPECT_EQ(pipeline.fix.enabled, stage == std::string("fix"));
    EXPECT_EQ(pipeline.convert.enabled, stage == std::string("convert"));
    EXPECT_EQ(pipeline.validate.enabled, stage == std::string("validate"));
    EXPECT_EQ(
        refusal(manifest_with(std::string("/pipeline/") + stage + "/enabled", "yes")),
        std::string("m.json: pipeline.") + stage + ".enabled: \"yes\" is not allowed; allowed: true, false");
  }
}

TEST(Inspect, CollectsGuestInformationOnlyWhenAsked) {
  EXPECT_FALSE(manifest_of(small_manifest()).pipeline.inspect.collect_guest_info);
  EXPECT_TRUE(manifest_of(manifest_with("/pipeline/inspect/collect_guest_info", true))
                  .pipeline.inspect.collect_guest_info);
}

TEST(Fix, HasTheDocumentedDefaults) {
  FixStage fix = manifest_of(manifest_with("/pipeline/fix/enabled", true)).pipeline.fix;
  EXPECT_TRUE(fix.backup);
  EXPECT_FALSE(fix.print_fstab);
  EXPECT_TRUE(fix.update_grub);
  EXPECT_TRUE(fix.regen_initramfs);
  EXPECT_EQ(fix.fstab_mode, FstabMode::kStabilizeAll);
  EXPECT_FALSE(fix.remove_vmware_tools);
  EXPECT_EQ(fix.root, "");
}

TEST(Fix, EverySettingIsRead) {
  json settings = {{"enabled", true},
                   {"backup", false},
                   {"print_fstab", true},
                   {"update_grub", false},
                   {"regen_initramfs", false},
                   {"fstab_mode", "noop"},
                   {"remove_vmware_tools", true},
                   {"root", "vg/root"}};
  FixStage fix = manifest_of(manifest_with("/pipeline/fix", settings)).pipeline.fix;
  EXPECT_FALSE(fix.backup);
  EXPECT_TRUE(fix.print_fstab);
  EXPECT_FALSE(fix.update_grub);
  EXPECT_FALSE(fix.regen_initramfs);
  EXPECT_EQ(fix.fstab_mode, FstabMode::kNoop);
  EXPECT_TRUE(fix.remove_vmware_tools);
  EXPECT_EQ(fix.root, "vg/root");
  for (const auto& [key, value] : settings.items())
    EXPECT_THAT(refusal(manifest_with("/pipeline/fix/" + key, 7)), HasSubstr("pipeline.fix." + key + ": 7"));
}

TEST(Fix, EveryFstabModeIsRead) {
  for (const char* word : {"stabilize-all", "bypath-only", "noop"})
    EXPECT_EQ(to_string(manifest_of(manifest_with("/pipeline/fix/fstab_mode", word)).pipeline.fix.fstab_mode),
              word);
  EXPECT_THAT(refusal(manifest_with("/pipeline/fix/fstab_mode", "all")),
              HasSubstr("allowed: stabilize-all, bypath-only, noop"));
}

TEST(Convert, CompressesOnlyWhenAskedAtALevelFromOneToNine) {
  ConvertStage convert = manifest_of(manifest_with("/pipeline/convert/enabled", true)).pipeline.convert;
  EXPECT_FALSE(convert.compress);
  EXPECT_EQ(convert.compress_level, std::nullopt);
  EXPECT_TRUE(manifest_of(manifest_with("/pipeline/convert/compress", true)).pipeline.convert.compress);
  EXPECT_EQ(convert.compression, Compression::kDeflate);
  for (const auto& [word, meant] :
       {std::pair{"deflate", Compression::kDeflate}, std::pair{"zlib", Compression::kDeflate},
        std::pair{"zstd", Compression::kZstd}})
    EXPECT_EQ(manifest_of(manifest_with("/pipeline/convert/compression", word)).pipeline.convert.compression,
              meant);
  EXPECT_EQ(refusal(manifest_with("/pipeline/convert/compression", "lz4")),
            "m.json: pipeline.convert.compression: \"lz4\" is not allowed; allowed: deflate, zstd");
  for (int level : {1, 9})
    EXPECT_EQ(
        manifest_of(manifest_with("/pipeline/convert/compress_level", level)).pipeline.convert.compress_level,
        level);
  for (int level : {0, 10, -1})
    EXPECT_EQ(refusal(manifest_with("/pipeline/convert/compress_level", level)),
              "m.json: pipeline.convert.compress_level: " + std::to_string(level) +
                  " is not allowed; allowed: a whole number from 1 to 9");
}

TEST(Validate, ChecksTheImageUnlessToldNotTo) {
  EXPECT_TRUE(
      manifest_of(manifest_with("/pipeline/validate/enabled", true)).pipeline.validate.check_image_integrity);
  EXPECT_FALSE(manifest_of(manifest_with("/pipeline/validate/check_image_integrity", false))
                   .pipeline.validate.check_image_integrity);
}

TEST(Validate, StartsTheMachineOnlyWhereThatIsAskedFor) {
  EXPECT_FALSE(manifest_of(manifest_with("/pipeline/validate/enabled", true)).pipeline.validate.boot.enabled);
  const ValidateStage validate =
      manifest_of(manifest_with("/pipeline/validate/boot",
                                {{"enabled", true}, {"timeout_seconds", 90}, {"mem_mb", 512}, {"cpu", 1}}))
          .pipeline.validate;
  EXPECT_TRUE(validate.boot.enabled);
  EXPECT_FALSE(validate.enabled) << "to start the machine does not ask for the images to be read back";
  EXPECT_EQ(validate.boot.timeout_seconds, 90u);
  EXPECT_EQ(validate.boot.mem_mb, 512u);
  EXPECT_EQ(validate.boot.cpu, 1u);
  EXPECT_EQ(refusal(manifest_with("/pipeline/validate/boot/timeout_seconds", 9)),
            "m.json: pipeline.validate.boot.timeout_seconds: 9 is not allowed; allowed: a whole number from "
            "10 to 86400");
}

TEST(Hyperexport, ItsOwnManifestIsReadWithoutAWarning) {
  // As its builder and Go's encoder write one: zeroes and empty texts are left out, `efi`, no compress level.
  ParsedManifest result = parse_manifest(R"({
    "manifest_version": "1.0",
    "source": {"provider": "vsphere", "vm_id": "vm-42", "vm_name": "web01", "datacenter": "DC1",
               "export_timestamp": "2026-01-21T20:00:00.123456789Z", "export_method": "govc-export"},
    "vm": {"cpu": 2, "mem_gb": 4, "firmware": "efi", "os_hint": "unknown", "os_version": "debian12_64Guest"},
    "disks": [
      {"id": "disk-0", "source_format": "vmdk", "bytes": 1024, "local_path": "/exports/web01-disk1.vmdk",
       "checksum": "sha256:a1b2c3d4e5f678901234567890123456789012345678901234567890123456ab",
       "label": "disk-0", "disk_type": "boot"},
      {"id": "disk-2", "source_format": "vmdk", "bytes": 1024, "local_path": "/exports/web01-disk2.vmdk",
       "boot_order_hint": 2, "label": "disk-2", "disk_type": "data"}],
    "nics": [{"id": "nic-0", "mac": "00:50:56:AB:CD:EF", "network": "VM Network"}],
    "warnings": [{"stage": "export", "message": "m", "timestamp": "2026-01-21T20:00:00Z"}],
    "metadata": {"hypersdk_version": "0.1.0", "job_id": "1", "created_at": "2026-01-21T20:00:00Z", "tags": {"a": "b"}},
    "pipeline": {"inspect": {"enabled": true, "collect_guest_info": true},
                 "fix": {"enabled": true, "backup": true, "update_grub": true, "regen_initramfs": true,
                         "fstab_mode": "stabilize-all", "remove_vmware_tools": true},
                 "convert": {"enabled": true, "compress": true},
                 "validate": {"enabled": true, "check_image_integrity": true}},
    "output": {"directory": "/exports", "format": "qcow2"},
    "options": {"verbose": 1, "report": {"enabled": true, "path": "report.json"}}
  })",
                                         "artifact-manifest.json");
  EXPECT_THAT(result.warnings, IsEmpty());
  const Manifest& manifest = result.manifest;
  EXPECT_EQ(manifest.boot_disk(), 0u);
  EXPECT_EQ(manifest.disks[0].boot_order_hint, 0);
  EXPECT_EQ(manifest.vm.firmware, Firmware::kUefi);
  EXPECT_TRUE(manifest.pipeline.inspect.enabled && manifest.pipeline.fix.enabled &&
              manifest.pipeline.convert.enabled && manifest.pipeline.validate.enabled);
  EXPECT_TRUE(manifest.pipeline.convert.compress);
  EXPECT_EQ(manifest.pipeline.convert.compress_level, std::nullopt);
}

}  // namespace
}  // namespace hyper2kvm::contract
