// The demo guest's life: at home on VMware's hardware, lost on virtio, and at home there after its
// conversion. What counts is what its own console says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/integration/console.h"
#include "tests/integration/program.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kGaveUp = "Gave up waiting for root file system device";

// What the generators in tests/guests say of their guests.
struct Guest {
  std::string name;
  std::string mac;
  bool uefi;
  // The numbers of its partitions.
  std::string root, swap;
};
void PrintTo(const Guest& guest, std::ostream* out) { *out << guest.name; }
const Guest kBios = {"demo", "00:50:56:aa:bb:cc", false, "1", "5"};
const Guest kUefi = {"demo-uefi", "00:50:56:aa:bb:cd", true, "2", "3"};

class DemoGuest : public testing::TestWithParam<Guest> {
 protected:
  void SetUp() override {
    folder_ = generated_guest(guest().name);
    if (folder_.empty()) GTEST_SKIP() << kNoGuests;
    ASSERT_TRUE(fs::exists(ova())) << ova() << " is missing: run tests/guests/make-" << guest().name
                                   << "-guest";
  }

  const Guest& guest() const { return GetParam(); }
  std::string login() const { return guest().name + " login: "; }
  fs::path ova() const { return folder_ / (guest().name + ".ova"); }
  fs::path exported_disk() const { return folder_ / (guest().name + "-disk1.vmdk"); }

  // As the machine was on VMware: its disk on a paravirtual SCSI controller, a vmxnet3 card in slot 192.
  Hardware vmware() const {
    return {.disks = {{exported_disk(), "vmdk"}},
            .bus = DiskBus::kPvscsi,
            .cards = {{NetworkCard::Model::kVmxnet3, guest().mac, 192}},
            .uefi = guest().uefi};
  }
  Hardware virtio(const fs::path& disk, const std::string& format) const {
    return {.disks = {{disk, format}},
            .bus = DiskBus::kVirtioBlk,
            .cards = {{NetworkCard::Model::kVirtio, guest().mac, 1}},
            .uefi = guest().uefi};
  }
  // The disk that a conversion of the OVA publishes.
  fs::path convert() {
    Ran ran = run_hyper2kvm({"convert", ova().string(), "--output", output_.path().string()});
    EXPECT_EQ(ran.status, 0) << ran.err;
    for (const auto& name : names_in(output_.path()))
      if (fs::path(name).extension() == ".qcow2") return output_.path() / name;
    ADD_FAILURE() << "no qcow2 image was published: " << ran.out << ran.err;
    return {};
  }

  // The machine's interface carries traffic: the router of its network answers to it.
  void expect_network_as_before(Console& console) {
    EXPECT_THAT(console.run("ip -o -4 address show dev ens192").text, HasSubstr("inet 10.0.2.15/24"));
    EXPECT_EQ(console.run("cat /sys/class/net/ens192/address").text, guest().mac);
    EXPECT_THAT(console.run("ip route show default").text, StartsWith("default via 10.0.2.2 dev ens192"));
    console.run("timeout 10 bash -c ': </dev/tcp/10.0.2.2/9'");
    EXPECT_THAT(console.run("ip neighbour show 10.0.2.2").text, HasSubstr("lladdr"));
  }
  void expect_mounts_of(Console& console, const std::string& disk) {
    EXPECT_EQ(console.run("findmnt -no SOURCE /").text, disk + guest().root);
    EXPECT_EQ(console.run("swapon --show=NAME --noheadings").text, disk + guest().swap);
    if (guest().uefi) {
      EXPECT_EQ(console.run("findmnt -no SOURCE /boot/efi").text, disk + "1");
    }
  }
  // The prompt comes before the last service is up.
  static void expect_nothing_failed(Console& console) {
    EXPECT_EQ(console.run("systemctl is-system-running --wait", std::chrono::minutes(10)).text, "running");
    EXPECT_EQ(console.run("systemctl --failed --no-legend --plain").text, "");
  }

  fs::path folder_;
  os::TemporaryDirectory output_{"demo-guest"};
};

std::string firmware(const testing::TestParamInfo<Guest>& guest) {
  return guest.param.uefi ? "Uefi" : "Bios";
}

class DemoGuestOnVmware : public DemoGuest {};

TEST_P(DemoGuestOnVmware, BootsWithItsNetwork) {
  Console console = Console::start(vmware());
  console.wait_for({login()});
  console.log_in("root", "root");
  expect_nothing_failed(console);
  expect_mounts_of(console, "/dev/sda");
  EXPECT_EQ(console.run("systemctl is-enabled open-vm-tools").text, "enabled");
  expect_network_as_before(console);
}

// Debian's UEFI firmware has no driver for VMware's disk controller, so its sister cannot be seen at home.
INSTANTIATE_TEST_SUITE_P(Firmware, DemoGuestOnVmware, testing::Values(kBios), firmware);

class DemoGuestOnVirtio : public DemoGuest {};

TEST_P(DemoGuestOnVirtio, DoesNotFindItsRootBeforeTheConversion) {
  Console console = Console::start(virtio(exported_disk(), "vmdk"));
  ASSERT_EQ(console.wait_for({login(), kGaveUp}), 1u);
  console.wait_for({"ALERT!  /dev/sda" + guest().root + " does not exist"});
}

TEST_P(DemoGuestOnVirtio, BootsAfterTheConversionWithItsNetworkAsBefore) {
  Console console = Console::start(virtio(convert(), "qcow2"));
  ASSERT_EQ(console.wait_for({login(), kGaveUp}), 0u) << console.transcript();
  console.log_in("root", "root");
  expect_nothing_failed(console);
  expect_mounts_of(console, "/dev/vda");
  EXPECT_EQ(console.run("systemctl is-enabled open-vm-tools").text, "disabled");
  expect_network_as_before(console);
}

INSTANTIATE_TEST_SUITE_P(Firmware, DemoGuestOnVirtio, testing::Values(kBios, kUefi), firmware);

class DemoGuestOnVirtioScsi : public DemoGuest {};

TEST_P(DemoGuestOnVirtioScsi, BootsAfterTheConversion) {
  Hardware hardware = virtio(convert(), "qcow2");
  hardware.bus = DiskBus::kVirtioScsi;
  Console console = Console::start(hardware);
  ASSERT_EQ(console.wait_for({login(), kGaveUp}), 0u) << console.transcript();
}

INSTANTIATE_TEST_SUITE_P(Firmware, DemoGuestOnVirtioScsi, testing::Values(kBios), firmware);

}  // namespace
}  // namespace hyper2kvm::integration
