// A block device as the target: what was on it before must be gone where the disk has nothing.
#include <gtest/gtest.h>
#include <unistd.h>

#include <optional>

#include "runner/image/conversion.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/os/process.h"
#include "tests/unit/image/disks.h"

namespace hyper2kvm::image {
namespace {

using contract::OutputFormat;
using contract::SourceFormat;

// A loop device over a file, where we may have one.
class LoopDevice {
 public:
  explicit LoopDevice(const std::filesystem::path& file) {
    os::ProcessOptions process;
    process.arguments = {"losetup", "--find", "--show", file.string()};
    try {
      std::string said = os::run_program(process);
      path_ = said.substr(0, said.find('\n'));
    } catch (const os::Error&) {
      // Not root, or no loop devices here.
    }
  }
  ~LoopDevice() {
    if (path_.empty()) return;
    os::ProcessOptions process;
    process.arguments = {"losetup", "--detach", path_.string()};
    os::run_program(process);
  }
  LoopDevice(const LoopDevice&) = delete;
  LoopDevice& operator=(const LoopDevice&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

class BlockDevice : public ::testing::Test {
 protected:
  os::TemporaryDirectory directory{"image-test"};
  testing::Random random{21};
  std::filesystem::path at(const std::string& name) const { return directory.path() / name; }
  static constexpr std::uint64_t kDeviceSize = 40u << 20;
  std::optional<LoopDevice> device;

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

}  // namespace
}  // namespace hyper2kvm::image
