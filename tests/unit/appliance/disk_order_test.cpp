#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/appliance/agent/machine.h"
#include "runner/os/error.h"

namespace hyper2kvm::appliance::agent {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string disk(int number, const std::string& device) {
  return "/sys/devices/platform/virtio-uml." + std::to_string(number) + "/virtio0/block/" + device;
}

TEST(OrderDisks, FollowsTheNumberOfTheirSocketAndNotTheirName) {
  EXPECT_THAT(order_disks({disk(1, "vda"), "/sys/devices/platform/uml-blkdev.0/block/ubda", disk(0, "vdb")}),
              ElementsAre("/dev/vdb", "/dev/vda"));
}

TEST(OrderDisks, ComparesNumbersAndNotText) {
  std::vector<std::string> paths;
  std::vector<std::string> devices;
  for (int number = 0; number < 30; ++number) {
    std::string device = "vd" + std::to_string(number);
    paths.insert(paths.begin(), disk(number, device));
    devices.push_back("/dev/" + device);
  }
  EXPECT_EQ(order_disks(paths), devices);
}

TEST(OrderDisks, NamesADiskThatIsMissing) {
  try {
    order_disks({disk(0, "vda"), disk(2, "vdb")});
    FAIL() << "no error";
  } catch (const os::Error& error) {
    EXPECT_EQ(error.subject(), "disk1");
  }
}

TEST(OrderDisks, AMachineMayHaveNone) { EXPECT_THAT(order_disks({}), IsEmpty()); }

}  // namespace
}  // namespace hyper2kvm::appliance::agent
