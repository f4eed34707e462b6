// What logical_pool_test.cpp runs in a User-mode Linux: hyper2kvm registers machines with a libvirtd that has
// the pool "lvm" over the volume group "machines". On the group's disk every byte was 0xff before.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <pugixml.hpp>
#include <sstream>

#include "runner/os/file.h"
#include "tests/integration/libvirt_host.h"
#include "tests/integration/program.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class LogicalPool : public testing::Test {
 protected:
  void TearDown() override {
    machines_.forget_all();
    for (const std::string& volume : volumes()) must_run({"lvremove", "-q", "-y", "machines/" + volume});
    must_run({"virsh", "-q", "pool-refresh", "lvm"});
  }

  const fs::path& place() const { return directory_.path(); }

  // A machine that is registered into the pool.
  nlohmann::json manifest(const std::string& name, unsigned mebibytes = 5) {
    fs::remove(place() / "source.raw");
    make_disk(place() / "source.raw", mebibytes, ++seed_);
    nlohmann::json manifest = manifest_for(place() / "source.raw");
    manifest["vm"] = {{"cpu", 1}, {"mem_gb", 1}, {"firmware", "bios"}};
    manifest["source"]["vm_name"] = name;
    manifest["output"] = {{"directory", (place() / "out").string()}, {"format", "raw"}};
    manifest["libvirt"] = {{"enabled", true}, {"pool", "lvm"}};
    return manifest;
  }

  Ran convert(const nlohmann::json& manifest) const {
    write_json(place() / "manifest.json", manifest);
    return run_hyper2kvm({"convert", (place() / "manifest.json").string()});
  }

  std::string disk_of(const std::string& name) const {
    pugi::xml_document document;
    document.load_string(machines_.xml(name).c_str());
    EXPECT_STREQ(document.select_node("/domain/devices/disk/@type").attribute().value(), "block");
    EXPECT_STREQ(document.select_node("/domain/devices/disk/driver/@type").attribute().value(), "raw");
    return document.select_node("/domain/devices/disk/source/@dev").attribute().value();
  }

  // What LVM itself says.
  static std::vector<std::string> volumes() {
    std::istringstream words(must_run({"lvs", "--noheadings", "-o", "lv_name", "-O", "lv_name", "machines"}));
    return {std::istream_iterator<std::string>(words), {}};
  }

  fs::path published() const { return place() / "out" / "disk-0.raw"; }
  void expect_content(const std::string& device) const {
    must_run({"cmp", "-n", std::to_string(fs::file_size(published())), device, published().string()});
  }

  OpenDirectory directory_{"logical"};
  Machines machines_{"qemu:///system"};
  unsigned seed_ = 0;
};

TEST_F(LogicalPool, ADiskBecomesAVolumeThatHasItsBytesAndNoneThatWereThereBefore) {
  Ran ran = convert(manifest("web01"));
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(disk_of("web01"), "/dev/machines/web01-disk-0");
  EXPECT_THAT(volumes(), ElementsAre("web01-disk-0"));
  expect_content("/dev/machines/web01-disk-0");
  // 5 MiB in a volume of two extents.
  std::string device = os::read_text("/dev/machines/web01-disk-0", 64u << 20);
  ASSERT_EQ(device.size(), 8u << 20);
  EXPECT_EQ(device.find_first_not_of('\0', 5u << 20), std::string::npos);
}

TEST_F(LogicalPool, AFormatThatGrowsIsRefusedBeforeAnythingIsWritten) {
  nlohmann::json grows = manifest("web01");
  grows["output"]["format"] = "qcow2";
  Ran ran = convert(grows);
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("storage pool lvm: holds block devices, which can take raw disks only"));
  EXPECT_THAT(ran.err, HasSubstr("Set output.format to raw, or use a pool of type dir."));
  EXPECT_THAT(volumes(), IsEmpty());
  EXPECT_THAT(machines_.names(), IsEmpty());
  EXPECT_FALSE(fs::exists(place() / "out" / "disk-0.qcow2"));
}

TEST_F(LogicalPool, APoolWithoutRoomIsRefused) {
  Ran ran = convert(manifest("large", 61));
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("storage pool lvm: has 60 MiB free, and the disks need 62 MiB"));
  EXPECT_THAT(volumes(), IsEmpty());
  EXPECT_THAT(machines_.names(), IsEmpty());
  EXPECT_FALSE(fs::exists(published()));
}

TEST_F(LogicalPool, AMachineThatIsReplacedTakesItsVolumeWithIt) {
  must_run({"lvcreate", "-q", "-y", "-L", "4M", "-n", "other", "machines"});
  ASSERT_EQ(convert(manifest("web01")).status, 0);
  fs::remove_all(place() / "out");
  nlohmann::json second = manifest("web01");
  second["libvirt"]["overwrite"] = true;
  Ran ran = convert(second);
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(volumes(), ElementsAre("other", "web01-disk-0-2"));
  EXPECT_EQ(disk_of("web01"), "/dev/machines/web01-disk-0-2");
  expect_content("/dev/machines/web01-disk-0-2");
}

TEST_F(LogicalPool, ANameThatLvmWouldNotTakeIsNoObstacle) {
  std::string name = "snapshot_rimage_" + std::string(90, 'x') + std::string(20, '-') + "end";
  Ran ran = convert(manifest(name));
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(volumes(), ElementsAre(HasSubstr("disk-snapshot-rimage-xxx")));
  expect_content(disk_of(name));
}

}  // namespace
}  // namespace hyper2kvm::integration
