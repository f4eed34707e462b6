#include "runner/pipeline/machine.h"

#include <gtest/gtest.h>

#include "tests/unit/pipeline/collected_events.h"

namespace hyper2kvm::pipeline {
namespace {

class MachineTest : public testing::Test {
 protected:
  MachineTest() {
    manifest_.source.vm_name = "web01";
    manifest_.source.provider = "vsphere";
    manifest_.vm.cpu = 4;
    manifest_.vm.mem_gb = 8;
    manifest_.vm.firmware = contract::Firmware::kBios;
    manifest_.disks = {{.id = "data"}, {.id = "system", .boot_order_hint = 0}};
    manifest_.nics = {{.id = "nic0", .mac = "00:50:56:aa:bb:cc", .network = "VM Network"}};
  }
  libvirt::DomainFacts machine(const std::optional<guest::Inspection>& inspection = std::nullopt) {
    return machine_of(manifest_, {"/out/data.qcow2", "/out/system.qcow2"}, inspection, record_);
  }
  contract::Manifest manifest_;
  contract::Report report_;
  CollectedEvents events_;
  Record record_{report_, events_};
};

TEST_F(MachineTest, TakesItsSizeAndNameFromTheManifest) {
  auto facts = machine();
  EXPECT_EQ(facts.name, "web01");
  EXPECT_EQ(facts.cpus, 4u);
  EXPECT_EQ(facts.memory_bytes, 8ull << 30);
  EXPECT_TRUE(report_.warnings.empty());
}

TEST_F(MachineTest, TheBootDiskComesFirst) {
  auto facts = machine();
  ASSERT_EQ(facts.disks.size(), 2u);
  EXPECT_EQ(facts.disks[0].path, "/out/system.qcow2");
}

TEST_F(MachineTest, UnknownFirmwareIsWhatTheInspectionFound) {
  manifest_.vm.firmware = contract::Firmware::kUnknown;
  guest::Inspection inspection;
  inspection.firmware = "uefi";
  EXPECT_EQ(machine(inspection).firmware, contract::Firmware::kUefi);
  EXPECT_TRUE(report_.warnings.empty());
}

TEST_F(MachineTest, UnknownFirmwareThatNobodyKnowsIsBiosWithAWarning) {
  manifest_.vm.firmware = contract::Firmware::kUnknown;
  EXPECT_EQ(machine().firmware, contract::Firmware::kBios);
  ASSERT_EQ(report_.warnings.size(), 1u);
}

TEST_F(MachineTest, AMissingSizeIsAWarning) {
  manifest_.vm.mem_gb.reset();
  EXPECT_EQ(machine().memory_bytes, 2ull << 30);
  EXPECT_EQ(report_.warnings.size(), 1u);
}

TEST_F(MachineTest, NicsKeepTheirMacsAndGoToTheDefaultNetwork) {
  auto facts = machine();
  ASSERT_EQ(facts.nics.size(), 1u);
  EXPECT_EQ(facts.nics[0].mac, "00:50:56:aa:bb:cc");
  EXPECT_EQ(facts.nics[0].network, "default");
}

TEST_F(MachineTest, ABridgeIsUsedWhereOneIsNamed) {
  manifest_.libvirt = contract::Libvirt{.bridge = "br0"};
  auto facts = machine();
  EXPECT_EQ(facts.nics[0].bridge, "br0");
  EXPECT_EQ(facts.nics[0].network, "");
}

TEST_F(MachineTest, AnEmbeddedDriverHasNoNetworksSoTheInterfaceIsUserMode) {
  manifest_.libvirt = contract::Libvirt{.uri = "qemu:///embed?root=/x"};
  EXPECT_EQ(machine().nics[0].network, "");
}

TEST_F(MachineTest, ItsFactsForOthersAreThoseOfTheManifestAndTheGuest) {
  manifest_.vm.firmware = contract::Firmware::kUnknown;
  guest::Inspection inspection;
  inspection.firmware = "uefi";
  inspection.distribution = "debian";
  contract::MachineFacts facts = facts_of(manifest_, inspection, true);
  EXPECT_EQ(facts.name, "web01");
  EXPECT_EQ(facts.cpus, 4u);
  EXPECT_EQ(facts.mem_gb, 8u);
  EXPECT_EQ(facts.firmware, contract::Firmware::kUefi);
  EXPECT_EQ(facts.distribution, "debian");
  EXPECT_TRUE(facts.virtio);
  ASSERT_EQ(facts.nics.size(), 1u);
  EXPECT_EQ(facts.total_nics, 1u);
}

TEST_F(MachineTest, ItsFactsForOthersHoldNoGuesses) {
  manifest_.vm = {};
  contract::MachineFacts facts = facts_of(manifest_, std::nullopt, false);
  EXPECT_EQ(facts.cpus, 0u);
  EXPECT_EQ(facts.mem_gb, 0u);
  EXPECT_EQ(facts.firmware, contract::Firmware::kUnknown);
  EXPECT_FALSE(facts.virtio);
}

TEST(LibosinfoId, CountsAsLibosinfoDoes) {
  EXPECT_EQ(libosinfo_id("debian", "12"), "http://debian.org/debian/12");
  EXPECT_EQ(libosinfo_id("ubuntu", "22.04"), "http://ubuntu.com/ubuntu/22.04");
  EXPECT_EQ(libosinfo_id("rocky", "9.3"), "http://rockylinux.org/rocky/9");
  EXPECT_EQ(libosinfo_id("arch", ""), "http://archlinux.org/archlinux/rolling");
  EXPECT_EQ(libosinfo_id("unheard-of", "1"), "");
  EXPECT_EQ(libosinfo_id("debian", "12'><x"), "");
}

}  // namespace
}  // namespace hyper2kvm::pipeline
