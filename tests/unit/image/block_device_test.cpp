// A block device as the target: what was on it before must be gone where the disk has nothing.
#include <gtest/gtest.h>
#include <unistd.h>

#include <optional>

#include "runner/image/conversion.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/os/process.h"
#include "tests/unit/image/disks.h"
#include "tests/unit/image/loop_device.h"
#include "tests/unit/image/with_directory.h"

namespace hyper2kvm::image {
namespace {

using contract::OutputFormat;
using contract::SourceFormat;

class BlockDevice : public testing::WithDirectory {
 protected:
  testing::Random random{21};
  static constexpr std::uint64_t kDeviceSize = 40u << 20;
  std::optional<hyper2kvm::testing::LoopDevice> device;

  void SetUp() override {
    testing::write_all(at("device"), std::vector<std::byte>(kDeviceSize, std::byte{0xaa}));
    device.emplace(at("device"));
    if (device->path().empty()) GTEST_SKIP() << "no loop devices here";
  }
  void TearDown() override { device.reset(); }
};

TEST_F(BlockDevice, HoldsTheDiskAndNothingOfWhatWasThere) {
  testing::write_random_disk(at("disk.raw"), 32u << 20, random);
  testing::convert_with_qemu(at("disk.raw"), at("disk.vmdk"), "vmdk", "subformat=streamOptimized");
  for (const auto& [name, format] :
       {std::pair{"disk.raw", SourceFormat::kRaw}, std::pair{"disk.vmdk", SourceFormat::kVmdk}}) {
    ConversionResult result = testing::convert(at(name), format, device->path(),
                                               {.format = OutputFormat::kRaw, .scratch = directory.path()});
    EXPECT_EQ(result.virtual_size, 32u << 20);
    const std::vector<std::byte> expected = testing::read_all(at("disk.raw"));
    std::vector<std::byte> found = testing::read_all(device->path());
    ASSERT_EQ(found.size(), kDeviceSize);
    EXPECT_EQ(found.back(), std::byte{0xaa}) << "the rest of the device is not ours";
    found.resize(expected.size());
    EXPECT_TRUE(found == expected) << name;
    check_image(device->path(), OutputFormat::kRaw, result.virtual_size, {});
    testing::write_all(at("noise"), std::vector<std::byte>(kDeviceSize, std::byte{0xaa}));
    os::File::open(device->path(), os::File::Mode::kReadWrite).write_at(0, testing::read_all(at("noise")));
  }
}

TEST_F(BlockDevice, HoldsTheDiskFromEveryKindOfSource) {
  testing::write_random_disk(at("disk.raw"), 6u << 20, random);
  const std::vector<std::byte> expected = testing::read_all(at("disk.raw"));
  const std::vector<std::byte> others(expected.size(), std::byte{0xaa});
  for (const testing::Kind& kind : testing::every_kind()) {
    SCOPED_TRACE(kind.title());
    os::TemporaryDirectory own("image-test");
    const std::filesystem::path disk = testing::make_kind(kind, at("disk.raw"), own.path());
    os::File::open(device->path(), os::File::Mode::kReadWrite).write_at(0, others);
    testing::convert(disk, kind.format, device->path(),
                     {.format = OutputFormat::kRaw, .scratch = directory.path()});
    std::vector<std::byte> found(expected.size());
    os::File::open(device->path(), os::File::Mode::kRead).read_exactly_at(0, found);
    EXPECT_TRUE(found == expected);
  }
}

TEST_F(BlockDevice, AnOverlayAtTheEndOfAnEmptyDiskStays) {
  os::File::open(at("disk.raw"), os::File::Mode::kCreate).truncate(16u << 20);
  create_overlay(at("overlay.qcow2"), 16u << 20);
  os::ProcessOptions process;
  process.arguments = {"qemu-io", "-f", "qcow2", "-c", "write -P 5 15M 64k", at("overlay.qcow2").string()};
  os::run_program(process);
  SourceImage source = open_source(testing::whole(at("disk.raw")), SourceFormat::kRaw, "disk0");
  auto conversion = Conversion::create(source, device->path(), {.format = OutputFormat::kRaw});
  conversion->copy([](std::uint64_t, std::uint64_t) {}, {});
  conversion->apply_overlay(at("overlay.qcow2"), {});
  conversion->finish();
  const std::vector<std::byte> found = testing::read_all(device->path());
  EXPECT_EQ(found[0], std::byte{0});
  EXPECT_EQ(found[15u << 20], std::byte{5});
  EXPECT_EQ(found[(15u << 20) + 65535], std::byte{5});
  EXPECT_EQ(found[(15u << 20) + 65536], std::byte{0});
}

TEST_F(BlockDevice, ADeviceThatIsTooSmallIsRefused) {
  os::File::open(at("disk.raw"), os::File::Mode::kCreate).truncate(kDeviceSize + 512);
  EXPECT_THROW(
      testing::convert(at("disk.raw"), SourceFormat::kRaw, device->path(), {.format = OutputFormat::kRaw}),
      os::Error);
}

TEST_F(BlockDevice, HasNothingToBootUntilTheDiskIsFinished) {
  testing::write_random_disk(at("disk.raw"), 4u << 20, random);
  const std::vector<std::byte> expected = testing::read_all(at("disk.raw"));
  create_overlay(at("overlay.qcow2"), 4u << 20);
  os::ProcessOptions process;
  process.arguments = {"qemu-io",
                       "-f",
                       "qcow2",
                       "-c",
                       "write -P 7 64k 64k",
                       "-c",
                       "write -z 0 64k",
                       "-c",
                       "write -P 8 960k 128k",
                       at("overlay.qcow2").string()};
  os::run_program(process);
  const std::vector<std::byte> nothing(1u << 20);
  auto head = [&] {
    std::vector<std::byte> found = testing::read_all(device->path());
    found.resize(nothing.size());
    return found;
  };
  SourceImage source = open_source(testing::whole(at("disk.raw")), SourceFormat::kRaw, "disk0");
  auto conversion = Conversion::create(source, device->path(), {.format = OutputFormat::kRaw});
  EXPECT_TRUE(head() == nothing) << "what was there is gone at once";
  conversion->copy([](std::uint64_t, std::uint64_t) {}, {});
  conversion->apply_overlay(at("overlay.qcow2"), {});
  EXPECT_TRUE(head() == nothing);
  conversion->finish();
  const std::vector<std::byte> found = testing::read_all(device->path());
  EXPECT_EQ(found[0], std::byte{0});
  EXPECT_EQ(found[65535], std::byte{0});
  EXPECT_EQ(found[65536], std::byte{7});
  EXPECT_EQ(found[131071], std::byte{7});
  EXPECT_EQ(found[(960u << 10) - 1], expected[(960u << 10) - 1]);
  EXPECT_EQ(found[960u << 10], std::byte{8});
  EXPECT_EQ(found[(1088u << 10) - 1], std::byte{8});
  EXPECT_TRUE(
      std::equal(found.begin() + (1088 << 10), found.begin() + (4 << 20), expected.begin() + (1088 << 10)));
  erase_head(device->path());
  EXPECT_TRUE(head() == nothing);
}

TEST_F(BlockDevice, IsOursAloneWhileItIsWritten) {
  testing::write_random_disk(at("disk.raw"), 4u << 20, random);
  SourceImage source = open_source(testing::whole(at("disk.raw")), SourceFormat::kRaw, "disk0");
  auto conversion = Conversion::create(source, device->path(), {.format = OutputFormat::kRaw});
  try {
    Conversion::create(source, device->path(), {.format = OutputFormat::kRaw});
    ADD_FAILURE() << "two conversions write to one device";
  } catch (const os::Error& error) {
    EXPECT_NE(error.sentence().find("is in use"), std::string::npos) << error.sentence();
  }
}

TEST_F(BlockDevice, StopsWhileTheRestOfALargeDeviceIsZeroed) {
  os::File::open(at("disk.raw"), os::File::Mode::kCreate).truncate(32u << 20);
  os::StopSource stop;
  SourceImage source = open_source(testing::whole(at("disk.raw")), SourceFormat::kRaw, "disk0");
  auto conversion = Conversion::create(source, device->path(), {.format = OutputFormat::kRaw});
  stop.request_stop();
  EXPECT_THROW(conversion->copy([](std::uint64_t, std::uint64_t) {}, stop.token()), os::Error);
}

}  // namespace
}  // namespace hyper2kvm::image
