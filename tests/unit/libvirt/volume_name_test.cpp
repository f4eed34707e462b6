#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "runner/libvirt/volume.h"

namespace hyper2kvm::libvirt {
namespace {

const DomainDisk kDisk{"/out/disk-0.qcow2", contract::OutputFormat::kQcow2};

TEST(VolumeName, TellsTheMachineAndTheDisk) {
  EXPECT_EQ(volume_name("web01", kDisk, false, 1), "web01-disk-0.qcow2");
}

TEST(VolumeName, DoesNotRepeatTheMachine) {
  EXPECT_EQ(volume_name("web01", {"/out/web01.raw", contract::OutputFormat::kRaw}, false, 1), "web01.raw");
}

TEST(VolumeName, CountsOn) { EXPECT_EQ(volume_name("web01", kDisk, false, 3), "web01-disk-0-3.qcow2"); }

TEST(VolumeName, OfABlockDeviceHasNoEnding) {
  EXPECT_EQ(volume_name("web01", {"/out/disk-0.raw", contract::OutputFormat::kRaw}, true, 2),
            "web01-disk-0-2");
}

TEST(VolumeName, HasOnlyWhatEveryPoolTakes) {
  EXPECT_EQ(volume_name("Büro <1>", kDisk, false, 1), "B--ro--1--disk-0.qcow2");
  EXPECT_EQ(volume_name("-.-x", kDisk, false, 1), "x-disk-0.qcow2");
  EXPECT_EQ(volume_name("", {"/out/...raw", contract::OutputFormat::kRaw}, true, 1), "disk");
  EXPECT_LT(volume_name(std::string(500, 'x'), {"/" + std::string(250, 'y')}, false, 999).size(), 240u);
}

TEST(VolumeName, OfABlockDeviceIsNoneThatLvmKeepsForItself) {
  DomainDisk disk{"/out/disk_0.raw", contract::OutputFormat::kRaw};
  EXPECT_EQ(volume_name("snapshot-server", disk, true, 1), "disk-snapshot-server-disk-0");
  EXPECT_EQ(volume_name("pvmove0", disk, true, 2), "disk-pvmove0-disk-0-2");
  EXPECT_EQ(volume_name("db_rimage_tmeta", disk, true, 1), "db-rimage-tmeta-disk-0");
  EXPECT_EQ(volume_name("snapshot_a", disk, false, 1), "snapshot_a-disk_0.raw");
}

TEST(VolumeName, OfABlockDeviceLeavesTheDeviceMapperRoomForTheGroup) {
  for (const char* letter : {"x", "_"}) {
    std::string text;
    for (int index = 0; index < 90; ++index) text += letter;
    std::string name =
        volume_name("snapshot" + text, {"/out/y" + text, contract::OutputFormat::kRaw}, true, 999);
    EXPECT_LE(name.size() + static_cast<std::size_t>(std::ranges::count(name, '-')), 90u) << name;
    EXPECT_THAT(name, testing::EndsWith("-999"));
    EXPECT_THAT(name, testing::HasSubstr("-y"));
  }
}

}  // namespace
}  // namespace hyper2kvm::libvirt
