#include "operator/kubevirt/virtual_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "runner/os/error.h"

namespace hyper2kvm::kubevirt {
namespace {

using contract::Firmware;
using contract::MachineFacts;
using kube::Json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

MachineFacts linux_machine() {
  return {.name = "web01",
          .cpus = 4,
          .mem_gb = 8,
          .firmware = Firmware::kBios,
          .virtio = true,
          .nics = {{.mac = "00:50:56:aa:bb:cc", .network = "VM Network"}},
          .total_nics = 1,
          .os_type = "linux",
          .distribution = "debian",
          .version = "12",
          .pretty_name = "Debian GNU/Linux 12 (bookworm)",
          .architecture = "x86_64"};
}

Json make(const MachineFacts& facts, const Wishes& wishes = {},
          const std::vector<Disk>& disks = {{"web01-disk-0"}}) {
  return virtual_machine({"demo", "web01"}, facts, disks, wishes, "web01");
}

Json read_golden(const std::string& name) {
  std::ifstream file(std::string(GOLDEN_FOLDER) + "/" + name + ".json");
  return Json::parse(file);
}

std::string refusal_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const os::Error& error) {
    EXPECT_EQ(error.kind(), os::ErrorKind::kInvalid);
    return error.sentence();
  }
  return "";
}

// The same files are applied to a real API server with KubeVirt's own schema (tests/e2e/kubevirt).
TEST(VirtualMachineGolden, ALinuxMachineWithBios) {
  EXPECT_EQ(make(linux_machine()), read_golden("linux-bios"));
}

TEST(VirtualMachineGolden, ALinuxMachineWithUefiTwoDisksAndTwoNetworks) {
  MachineFacts facts = linux_machine();
  facts.firmware = Firmware::kUefi;
  facts.nics.push_back({.mac = "00:50:56:aa:bb:cd", .network = "DMZ"});
  facts.total_nics = 2;
  Wishes wishes{
      .run_strategy = "Always",
      .networks = {{.source = "DMZ", .kind = NetworkKind::kMultus, .multus = "net/dmz"}, {.source = "*"}},
      .labels = {{"team", "web"}}};
  EXPECT_EQ(make(facts, wishes, {{"web01-disk-0"}, {"web01-disk-1"}}), read_golden("linux-uefi"));
}

TEST(VirtualMachineGolden, AMachineWithSecureBootAndTpmBySize) {
  MachineFacts facts = linux_machine();
  facts.firmware = Firmware::kUefi;
  facts.secure_boot = true;
  Wishes wishes{.instance_type = {.name = "u1.large"},
                .preference = {.kind = "VirtualMachinePreference", .name = "debian"},
                .tpm = true};
  EXPECT_EQ(make(facts, wishes), read_golden("secure-boot"));
}

TEST(VirtualMachineGolden, AMachineForArm) {
  MachineFacts facts = linux_machine();
  facts.architecture = "aarch64";
  facts.firmware = Firmware::kUnknown;
  facts.distribution = "ubuntu";
  facts.pretty_name = "Ubuntu 24.04.1 LTS";
  EXPECT_EQ(make(facts, {}, {{.claim = "web01-disk-0", .is_data_volume = true}}), read_golden("linux-arm"));
  EXPECT_THAT(guesses(facts, {}), IsEmpty()) << "it has one kind of firmware";
}

TEST(VirtualMachineGolden, AMachineThatWasNotRepaired) {
  EXPECT_EQ(make({.name = "old", .os_type = "windows"}), read_golden("not-repaired"));
}

TEST(VirtualMachine, SaysNoSizeWhereAnInstanceTypeDoes) {
  Json machine = make(linux_machine(), {.instance_type = {.name = "u1.large"}});
  const Json& domain = machine["spec"]["template"]["spec"]["domain"];
  EXPECT_FALSE(domain.contains("cpu"));
  EXPECT_FALSE(domain.contains("memory"));
}

TEST(VirtualMachine, BootsItsDisksInOrder) {
  Json machine = make(linux_machine(), {}, {{"a"}, {"b"}});
  const Json& disks = machine["spec"]["template"]["spec"]["domain"]["devices"]["disks"];
  EXPECT_EQ(disks[0]["bootOrder"], 1);
  EXPECT_EQ(disks[1]["bootOrder"], 2);
  EXPECT_EQ(machine["spec"]["template"]["spec"]["volumes"][1]["persistentVolumeClaim"]["claimName"], "b");
}

TEST(VirtualMachine, ADiskBusThatIsAskedForIsTaken) {
  Json machine = make(linux_machine(), {.disk_bus = "scsi"});
  EXPECT_EQ(machine["spec"]["template"]["spec"]["domain"]["devices"]["disks"][0]["disk"]["bus"], "scsi");
}

TEST(VirtualMachine, WithoutNicsGetsNone) {
  MachineFacts facts = linux_machine();
  facts.nics.clear();
  facts.total_nics = 0;
  Json machine = make(facts);
  EXPECT_EQ(machine["spec"]["template"]["spec"]["domain"]["devices"]["autoattachPodInterface"], false);
  EXPECT_FALSE(machine["spec"]["template"]["spec"].contains("networks"));
}

TEST(VirtualMachine, ASecondNicOnThePodNetworkIsRefusedWithTheNextStep) {
  MachineFacts facts = linux_machine();
  facts.nics.push_back({.network = "DMZ"});
  facts.total_nics = 2;
  EXPECT_THAT(refusal_of([&] { make(facts, {.networks = {{.source = "*"}}}); }),
              HasSubstr("Map the network \"DMZ\" to a multus network"));
}

TEST(VirtualMachine, ANicWithoutAPlaceIsRefusedWithTheNextStep) {
  MachineFacts facts = linux_machine();
  facts.nics.push_back({.network = "DMZ"});
  facts.total_nics = 2;
  EXPECT_THAT(refusal_of([&] { make(facts); }), HasSubstr("NIC 2 on the network \"DMZ\""));
  EXPECT_THAT(refusal_of([&] { make(facts, {.networks = {{.source = "VM Network"}}}); }),
              HasSubstr("spec.register.kubevirt.networks"));
}

TEST(VirtualMachine, NicsThatWereCutFromTheReportAreNotForgotten) {
  MachineFacts facts = linux_machine();
  facts.total_nics = 40;
  EXPECT_THAT(refusal_of([&] { make(facts); }), HasSubstr("has 40 NICs, of which only 1"));
}

TEST(VirtualMachine, SecureBootWithBiosIsRefused) {
  MachineFacts facts = linux_machine();
  facts.secure_boot = true;
  EXPECT_THAT(refusal_of([&] { make(facts); }), HasSubstr("Secure Boot with BIOS"));
}

TEST(VirtualMachine, SecureBootOnArmIsRefused) {
  MachineFacts facts = linux_machine();
  facts.firmware = Firmware::kUefi;
  facts.secure_boot = true;
  facts.architecture = "aarch64";
  EXPECT_THAT(refusal_of([&] { make(facts); }), HasSubstr("for x86_64 only"));
}

TEST(VirtualMachine, WithoutADiskIsRefused) {
  EXPECT_THAT(refusal_of([&] { make(linux_machine(), {}, {}); }), HasSubstr("has no disk"));
}

TEST(VirtualMachine, AGuestForOtherProcessorsIsRefused) {
  MachineFacts facts = linux_machine();
  facts.architecture = "s390x";
  EXPECT_THAT(refusal_of([&] { make(facts); }), HasSubstr("s390x processors"));
}

TEST(Preferences, AreNamedAfterTheGuestTheClosestFirst) {
  auto of = [](const char* id, const char* version) {
    return preferences_for({.os_type = "linux", .distribution = id, .version = version});
  };
  EXPECT_THAT(of("rhel", "9.4"), ElementsAre("rhel.9.4", "rhel.9", "rhel", "linux"));
  EXPECT_THAT(of("debian", "12"), ElementsAre("debian.12", "debian", "linux"));
  EXPECT_THAT(of("centos", "9"), ElementsAre("centos.stream9", "centos.9", "centos", "linux"));
  EXPECT_THAT(of("rocky", "8.10"), ElementsAre("rocky.8.10", "rocky.8", "rocky", "rhel.8", "linux"));
  EXPECT_THAT(of("opensuse-leap", "15.6"), ElementsAre("opensuse.leap", "opensuse-leap.15.6",
                                                       "opensuse-leap.15", "opensuse-leap", "linux"));
  EXPECT_THAT(of("arch", ""), ElementsAre("arch", "linux"));
}

TEST(Preferences, OfAnUnknownOrHostileGuestAreNoStrangeNames) {
  EXPECT_THAT(preferences_for({}), IsEmpty());
  EXPECT_THAT(preferences_for({.os_type = "linux", .distribution = "../x", .version = "1 2"}),
              ElementsAre("linux"));
}

TEST(VirtualMachineGuesses, AreNoneWhereEverythingIsKnown) {
  EXPECT_THAT(guesses(linux_machine(), {}), IsEmpty());
}

TEST(VirtualMachineGuesses, AreSaid) {
  EXPECT_THAT(guesses({.name = "old"}, {}),
              ElementsAre(HasSubstr("2 CPUs and 2 GiB"), HasSubstr("it gets BIOS")));
  EXPECT_THAT(guesses({.name = "old"}, {.instance_type = {.name = "u1.large"}}),
              ElementsAre(HasSubstr("it gets BIOS")));
}

TEST(MachineLabel, IsANameThatKubernetesTakes) {
  EXPECT_EQ(machine_label("web01"), "web01");
  EXPECT_EQ(machine_label("Web Server (old)"), "web-server-old");
  EXPECT_EQ(machine_label("--_"), "vm");
  EXPECT_EQ(machine_label("M\xc3\xbcller"), "m-ller");
  EXPECT_EQ(machine_label(std::string(62, 'a') + "--b"), std::string(62, 'a'));
}

}  // namespace
}  // namespace hyper2kvm::kubevirt
