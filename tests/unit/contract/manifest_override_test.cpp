#include "runner/contract/manifest_override.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/os/error.h"

namespace hyper2kvm::contract {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::SizeIs;

ParsedManifest manifest(const std::string& more = "") {
  return parse_manifest(
      R"({"manifest_version": "1.0", "disks": [{"id": "boot", "source_format": "vmdk", "bytes": 5,
                            "local_path": "a.vmdk"}], "vm": {"cpu": 2})" +
          more + "}",
      "test");
}

TEST(OverrideManifest, ReplacesWhatItNamesAndKeepsTheRest) {
  ParsedManifest parsed = manifest(R"(, "pipeline": {"fix": {"enabled": true, "backup": false}})");
  override_manifest(
      parsed,
      R"({"vm": {"mem_gb": 8}, "pipeline": {"fix": {"fstab_mode": "noop"}, "convert": {"enabled": true}}})");
  EXPECT_EQ(parsed.manifest.vm.cpu, 2);
  EXPECT_EQ(parsed.manifest.vm.mem_gb, 8);
  EXPECT_TRUE(parsed.manifest.pipeline.fix.enabled);
  EXPECT_FALSE(parsed.manifest.pipeline.fix.backup);
  EXPECT_EQ(parsed.manifest.pipeline.fix.fstab_mode, FstabMode::kNoop);
  EXPECT_TRUE(parsed.manifest.pipeline.convert.enabled);
  EXPECT_EQ(parsed.manifest.disks[0].local_path, "a.vmdk");
  EXPECT_THAT(parsed.warnings, SizeIs(0));
}

TEST(OverrideManifest, TurnsStagesOnWhereTheManifestHasNone) {
  ParsedManifest parsed = manifest();
  override_manifest(parsed, R"({"pipeline": {"convert": {"enabled": true}}})");
  EXPECT_TRUE(parsed.manifest.pipeline.convert.enabled);
  EXPECT_FALSE(parsed.manifest.pipeline.fix.enabled);
}

TEST(OverrideManifest, RegistersWithAnotherLibvirtThanTheManifestSays) {
  ParsedManifest parsed = manifest(
      R"(, "libvirt": {"enabled": false, "uri": "qemu:///session", "bridge": "br0", "start": true})");
  override_manifest(parsed,
                    R"({"libvirt": {"enabled": true, "pool": "vms", "network": "lan", "bridge": null}})");
  ASSERT_TRUE(parsed.manifest.libvirt);
  EXPECT_TRUE(parsed.manifest.libvirt->enabled);
  EXPECT_EQ(parsed.manifest.libvirt->uri, "qemu:///session");
  EXPECT_EQ(parsed.manifest.libvirt->pool, "vms");
  EXPECT_EQ(parsed.manifest.libvirt->network, "lan");
  EXPECT_EQ(parsed.manifest.libvirt->bridge, "");
  EXPECT_TRUE(parsed.manifest.libvirt->start);
  ParsedManifest other = manifest();
  override_manifest(other, R"({"vm": {"cpu": 3}})");
  EXPECT_FALSE(other.manifest.libvirt);
}

TEST(OverrideManifest, WarnsOfAnUnknownWord) {
  ParsedManifest parsed = manifest();
  override_manifest(parsed, R"({"pipeline": {"fix": {"magic": true}}})");
  EXPECT_THAT(parsed.warnings, Contains(HasSubstr("pipeline.fix.magic")));
}

TEST(OverrideManifest, RefusesWhatIsNotAllowedAndChangesNothing) {
  for (const char* patch : {"", "[]", "{", R"({"disks": {}})", R"({"vm": 1})", R"({"vm": {"cpu": 0}})",
                            R"({"pipeline": {"fix": {"fstab_mode": "all"}}})"}) {
    SCOPED_TRACE(patch);
    ParsedManifest parsed = manifest();
    EXPECT_THROW(override_manifest(parsed, patch), os::Error);
    EXPECT_EQ(parsed.manifest.vm.cpu, 2);
    EXPECT_THAT(parsed.manifest.disks, SizeIs(1));
  }
}

}  // namespace
}  // namespace hyper2kvm::contract
