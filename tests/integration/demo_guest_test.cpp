// The demo guest's life: at home on VMware's hardware, lost on virtio, and at home there after its
// conversion. What counts is what its own console says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "tests/integration/console.h"
#include "tests/integration/program.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kMac = "00:50:56:aa:bb:cc";
constexpr const char* kGaveUp = "Gave up waiting for root file system device";
constexpr const char* kLogin = "demo login: ";

class DemoGuest : public testing::Test {
 protected:
  void SetUp() override {
    const char* guests = std::getenv("HYPER2KVM_TEST_GUESTS");
    if (guests == nullptr || *guests == '\0')
      GTEST_SKIP()
          << "HYPER2KVM_TEST_GUESTS does not say where tests/guests/make-all has put the test guests";
    folder_ = fs::path(guests) / "demo";
    ASSERT_TRUE(fs::exists(folder_ / "demo.ova"))
        << folder_ << " has no demo.ova: run tests/guests/make-demo-guest";
  }

  // As the machine was on VMware: its disk on a paravirtual SCSI controller, a vmxnet3 card in slot 192.
  Hardware vmware() const {
    return {.disks = {{folder_ / "demo-disk1.vmdk", "vmdk"}},
            .bus = DiskBus::kPvscsi,
            .cards = {{NetworkCard::Model::kVmxnet3, kMac, 192}}};
  }
  static Hardware virtio(const fs::path& disk, const std::string& format) {
    return {.disks = {{disk, format}},
            .bus = DiskBus::kVirtioBlk,
            .cards = {{NetworkCard::Model::kVirtio, kMac, 1}}};
  }
  // The disk that a conversion of the OVA publishes.
  fs::path convert() {
    Ran ran =
        run_hyper2kvm({"convert", (folder_ / "demo.ova").string(), "--output", output_.path().string()});
    EXPECT_EQ(ran.status, 0) << ran.err;
    for (const auto& name : names_in(output_.path()))
      if (fs::path(name).extension() == ".qcow2") return output_.path() / name;
    ADD_FAILURE() << "no qcow2 image was published: " << ran.out << ran.err;
    return {};
  }

  fs::path folder_;
  os::TemporaryDirectory output_{"demo-guest"};
};

// The machine's interface carries traffic: the router of its network answers to it.
void expect_network_as_before(Console& console) {
  EXPECT_THAT(console.run("ip -o -4 address show dev ens192").text, HasSubstr("inet 10.0.2.15/24"));
  EXPECT_EQ(console.run("cat /sys/class/net/ens192/address").text, kMac);
  EXPECT_THAT(console.run("ip route show default").text, StartsWith("default via 10.0.2.2 dev ens192"));
  console.run("timeout 10 bash -c ': </dev/tcp/10.0.2.2/9'");
  EXPECT_THAT(console.run("ip neighbour show 10.0.2.2").text, HasSubstr("lladdr"));
}

void expect_nothing_failed(Console& console) {
  EXPECT_EQ(console.run("systemctl --failed --no-legend --plain").text, "");
  EXPECT_THAT(console.run("systemctl is-system-running --wait").text, "running");
}

TEST_F(DemoGuest, BootsOnVmwaresHardware) {
  Console console = Console::start(vmware());
  console.wait_for({kLogin});
  console.log_in("root", "root");
  EXPECT_EQ(console.run("findmnt -no SOURCE /").text, "/dev/sda1");
  EXPECT_EQ(console.run("swapon --show=NAME --noheadings").text, "/dev/sda5");
  EXPECT_EQ(console.run("systemctl is-enabled open-vm-tools").text, "enabled");
  expect_network_as_before(console);
  expect_nothing_failed(console);
}

TEST_F(DemoGuest, DoesNotFindItsRootOnVirtioBeforeTheConversion) {
  Console console = Console::start(virtio(folder_ / "demo-disk1.vmdk", "vmdk"));
  ASSERT_EQ(console.wait_for({kLogin, kGaveUp}), 1u);
  console.wait_for({"ALERT!  /dev/sda1 does not exist"});
}

TEST_F(DemoGuest, BootsOnVirtioAfterTheConversionWithItsNetworkAsBefore) {
  fs::path disk = convert();
  Console console = Console::start(virtio(disk, "qcow2"));
  ASSERT_EQ(console.wait_for({kLogin, kGaveUp}), 0u) << console.transcript();
  console.log_in("root", "root");
  EXPECT_EQ(console.run("findmnt -no SOURCE /").text, "/dev/vda1");
  EXPECT_EQ(console.run("swapon --show=NAME --noheadings").text, "/dev/vda5");
  EXPECT_EQ(console.run("systemctl is-enabled open-vm-tools").text, "disabled");
  expect_network_as_before(console);
  expect_nothing_failed(console);
}

TEST_F(DemoGuest, BootsOnVirtioScsiAfterTheConversion) {
  Hardware hardware = virtio(convert(), "qcow2");
  hardware.bus = DiskBus::kVirtioScsi;
  Console console = Console::start(hardware);
  ASSERT_EQ(console.wait_for({kLogin, kGaveUp}), 0u) << console.transcript();
}

}  // namespace
}  // namespace hyper2kvm::integration
