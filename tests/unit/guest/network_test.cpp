#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/guest/network/configured_interfaces.h"
#include "runner/guest/network/interface_name.h"
#include "tests/unit/guest/test_guest.h"

namespace hyper2kvm::guest {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(InterfaceName, OrdersVmwaresSlotsAsItFillsThem) {
  std::vector<std::string> names = {"ens257", "ens225", "ens160", "ens256",
                                    "ens193", "ens161", "ens224", "ens192"};
  std::sort(names.begin(), names.end(), [](const auto& a, const auto& b) {
    return parse_interface_name(a)->rank < parse_interface_name(b)->rank;
  });
  EXPECT_THAT(names,
              ElementsAre("ens160", "ens192", "ens224", "ens256", "ens161", "ens193", "ens225", "ens257"));
}

TEST(InterfaceName, OrdersVmwaresBusesInTheSameWay) {
  std::vector<std::string> names = {"enp12s0", "enp27s0", "enp3s0", "enp4s0",
                                    "enp19s0", "enp11s0", "enp2s1", "enp2s5"};
  std::sort(names.begin(), names.end(), [](const auto& a, const auto& b) {
    return parse_interface_name(a)->rank < parse_interface_name(b)->rank;
  });
  EXPECT_THAT(
      names, ElementsAre("enp2s1", "enp2s5", "enp3s0", "enp11s0", "enp19s0", "enp27s0", "enp4s0", "enp12s0"));
}

TEST(InterfaceName, KnowsWhatIsNoCard) {
  for (const char* name :
       {"lo", "bond0", "br0", "docker0", "eth", "ethx", "ens", "wg0", "veth1a2b", "eth0/../x", "tun0"})
    EXPECT_FALSE(parse_interface_name(name)) << name;
  EXPECT_EQ(parse_interface_name("enx005056aabbcc")->mac, "00:50:56:aa:bb:cc");
}

std::string link_of(const std::string& name, const std::string& mac) {
  return "[Match]\nMACAddress=" + mac + "\nType=ether\n\n[Link]\nName=" + name + "\n";
}

struct Configuration {
  const char* name;
  std::vector<std::pair<const char*, const char*>> files;
  std::vector<const char*> macs;                            // of the manifest's cards, in order
  std::vector<std::pair<const char*, const char*>> pinned;  // name, MAC
};

class NetworkConfiguration : public testing::TestWithParam<Configuration> {};

TEST_P(NetworkConfiguration, KeepsItsNames) {
  TestGuest guest;
  guest.tree.file("/usr/lib/systemd/network/99-default.link", "");
  for (const auto& [path, text] : GetParam().files) guest.tree.file(path, text);
  guest.request.nics.clear();
  for (const char* mac : GetParam().macs) guest.request.nics.push_back({"nic", mac, ""});
  Outcome outcome = guest.run(repair_network);
  EXPECT_EQ(outcome.error, "");
  std::vector<std::string> expected;
  for (const auto& [name, mac] : GetParam().pinned) {
    EXPECT_EQ(guest.tree.read(std::string("/etc/systemd/network/10-hyper2kvm-") + name + ".link"),
              link_of(name, mac));
    expected.push_back(std::string("/etc/systemd/network/10-hyper2kvm-") + name + ".link");
  }
  std::size_t links = 0;
  for (const Edit& edit : outcome.edits) links += edit.path.ends_with(".link") ? 1 : 0;
  EXPECT_EQ(links, expected.size());
  // The configuration itself is nobody's to change.
  for (const auto& [path, text] : GetParam().files) EXPECT_EQ(guest.tree.read(path), text);
}

#define A "00:50:56:00:00:0a"
#define B "00:50:56:00:00:0b"
#define C "00:50:56:00:00:0c"

INSTANTIATE_TEST_SUITE_P(
    Network, NetworkConfiguration,
    testing::Values(
        Configuration{
            "Ifupdown",
            {{"/etc/network/interfaces", "auto ens192\niface ens192 inet static\n  address 10.0.0.1/24\n"}},
            {A},
            {{"ens192", A}}},
        Configuration{
            "IfupdownTwoCards",
            {{"/etc/network/interfaces", "source /etc/network/interfaces.d/*\niface ens224 inet dhcp\n"},
             {"/etc/network/interfaces.d/first", "iface ens192 inet dhcp\n"}},
            {A, B},
            {{"ens192", A}, {"ens224", B}}},
        Configuration{"IfupdownThirdCardBeyondTheFourth",
                      {{"/etc/network/interfaces",
                        "iface ens161 inet dhcp\niface ens192 inet dhcp\niface ens160 inet dhcp\n"}},
                      {A, B, C},
                      {{"ens160", A}, {"ens192", B}, {"ens161", C}}},
        Configuration{"IfupdownBondAndVlan",
                      {{"/etc/network/interfaces",
                        "iface bond0 inet static\n  bond-slaves ens192 ens224\niface bond0.10 inet static\n"
                        "iface vlan20 inet static\n  vlan-raw-device ens256\niface br0 inet dhcp\n  "
                        "bridge_ports ens256.30\n"}},
                      {A, B, C},
                      {{"ens192", A}, {"ens224", B}, {"ens256", C}}},
        Configuration{
            "Networkd",
            {{"/etc/systemd/network/20-wired.network", "[Match]\nName=ens192\n[Network]\nDHCP=yes\n"}},
            {A},
            {{"ens192", A}}},
        Configuration{"NetworkdPattern",
                      {{"/etc/systemd/network/20-wired.network", "[Match]\nName=en*\n[Network]\nDHCP=yes\n"}},
                      {A},
                      {}},
        Configuration{"NetworkManagerByName",
                      {{"/etc/NetworkManager/system-connections/Wired.nmconnection",
                        "[connection]\ntype=ethernet\ninterface-name=ens192\n[ipv4]\nmethod=manual\n"}},
                      {A},
                      {{"ens192", A}}},
        Configuration{"NetworkManagerByAddress",
                      {{"/etc/NetworkManager/system-connections/b.nmconnection",
                        "[connection]\ntype=ethernet\ninterface-name=ens160\n[ethernet]\nmac-address=00:50:"
                        "56:00:00:0B\n"},
                       {"/etc/NetworkManager/system-connections/a.nmconnection",
                        "[connection]\ntype=ethernet\ninterface-name=ens192\n"}},
                      {A, B},
                      {{"ens160", B}, {"ens192", A}}},
        Configuration{"NetworkManagerBridge",
                      {{"/etc/NetworkManager/system-connections/br.nmconnection",
                        "[connection]\ntype=bridge\ninterface-name=br0\n"}},
                      {A},
                      {}},
        Configuration{"Ifcfg",
                      {{"/etc/sysconfig/network-scripts/ifcfg-ens192",
                        "DEVICE=ens192\nBOOTPROTO=static\nTYPE=Ethernet\n"},
                       {"/etc/sysconfig/network-scripts/ifcfg-lo", "DEVICE=lo\n"},
                       {"/etc/sysconfig/network-scripts/ifcfg-bond0", "DEVICE=bond0\nTYPE=Bond\n"},
                       {"/etc/sysconfig/network-scripts/ifcfg-ens224.bak", "DEVICE=ens224\n"}},
                      {A},
                      {{"ens192", A}}},
        Configuration{
            "IfcfgWithAddressAndAChosenName",
            {{"/etc/sysconfig/network-scripts/ifcfg-lan0", "DEVICE=lan0\nHWADDR=\"00:50:56:00:00:0B\"\n"}},
            {A, B},
            {{"lan0", B}}},
        Configuration{
            "Suse",
            {{"/etc/sysconfig/network/ifcfg-eth0", "BOOTPROTO='static'\nIPADDR='10.0.0.1/24'\n"},
             {"/etc/sysconfig/network/ifcfg-bond0", "BONDING_MASTER='yes'\nBONDING_SLAVE0='eth1'\n"}},
            {A, B},
            {{"eth0", A}, {"eth1", B}}},
        Configuration{"Netplan",
                      {{"/etc/netplan/00-installer.yaml",
                        "# made by the installer\nnetwork:\n  version: 2\n  ethernets:\n    ens160:\n      "
                        "dhcp4: true\n"
                        "    \"ens192\":\n      addresses:\n      - 10.0.0.1/24\n  bonds:\n    bond0:\n      "
                        "interfaces: [ens160]\n"}},
                      {A, B},
                      {{"ens160", A}, {"ens192", B}}},
        Configuration{"NetplanByAddressOnOneLine",
                      {{"/etc/netplan/01.yaml",
                        "network:\n  version: 2\n  ethernets:\n    lan0:\n      match: {macaddress: "
                        "\"00:50:56:00:00:0B\"}\n      set-name: lan0\n  vlans:\n    lan0.10:\n      id: 10\n"
                        "      link: lan0\n"}},
                      {A, B},
                      {{"lan0", B}}},
        Configuration{
            "NetworkdBondBridgeAndVlan",
            {{"/etc/systemd/network/10-bond0.netdev", "[NetDev]\nName=bond0\nKind=bond\n"},
             {"/etc/systemd/network/20-members.network",
              "[Match]\nName=ens192 ens224\n[Network]\nBond=bond0\n"},
             {"/etc/systemd/network/30-vlan.network", "[Match]\nName=ens256\n[Network]\nVLAN=vlan10\n"},
             {"/etc/systemd/network/40-vlan10.network",
              "[Match]\nName=vlan10\n[Network]\nAddress=10.0.0.1/24\n"}},
            {A, B, C},
            {{"ens192", A}, {"ens224", B}, {"ens256", C}}},
        Configuration{"NetworkdByAddress",
                      {{"/etc/systemd/network/10-lan.link",
                        "[Match]\nMACAddress=00:50:56:00:00:0b\n[Link]\nName=lan0\n"},
                       {"/etc/systemd/network/20-lan.network", "[Match]\nName=lan0\n[Network]\nDHCP=yes\n"}},
                      {A, B},
                      {{"lan0", B}}},
        Configuration{"NetworkManagerVlan",
                      {{"/etc/NetworkManager/system-connections/vlan.nmconnection",
                        "[connection]\ntype=vlan\ninterface-name=vlan10\n[vlan]\nid=10\nparent=ens192\n"}},
                      {A},
                      {{"ens192", A}}},
        Configuration{
            "NetworkManagerBond",
            {{"/etc/NetworkManager/system-connections/bond.nmconnection",
              "[connection]\ntype=bond\ninterface-name=bond0\n"},
             {"/etc/NetworkManager/system-connections/one.nmconnection",
              "[connection]\ntype=ethernet\ninterface-name=ens192\nmaster=bond0\nslave-type=bond\n"},
             {"/etc/NetworkManager/system-connections/two.nmconnection",
              "[connection]\ntype=802-3-ethernet\ninterface-name=ens224\nmaster=bond0\n"
              "slave-type=bond\n"}},
            {A, B},
            {{"ens192", A}, {"ens224", B}}},
        Configuration{
            "IfcfgBondVlanAndBridge",
            {{"/etc/sysconfig/network-scripts/ifcfg-ens192",
              "DEVICE=ens192\nMASTER=bond0\nSLAVE=yes\nTYPE=Ethernet\n"},
             {"/etc/sysconfig/network-scripts/ifcfg-ens224", "DEVICE=ens224\nMASTER=bond0\nSLAVE=yes\n"},
             {"/etc/sysconfig/network-scripts/ifcfg-bond0", "DEVICE=bond0\nBONDING_OPTS=mode=1\n"},
             {"/etc/sysconfig/network-scripts/ifcfg-ens256.20", "DEVICE=ens256.20\nVLAN=yes\nBRIDGE=br0\n"},
             {"/etc/sysconfig/network-scripts/ifcfg-br0", "DEVICE=br0\nTYPE=Bridge\n"}},
            {A, B, C},
            {{"ens192", A}, {"ens224", B}, {"ens256", C}}},
        Configuration{"WickedBridgeAndVlan",
                      {{"/etc/sysconfig/network/ifcfg-br0",
                        "BRIDGE='yes'\nBRIDGE_PORTS='eth0'\nIPADDR='10.0.0.1/24'\n"},
                       {"/etc/sysconfig/network/ifcfg-vlan10", "ETHERDEVICE='eth1'\nVLAN_ID='10'\n"}},
                      {A, B},
                      {{"eth0", A}, {"eth1", B}}},
        Configuration{"NetplanByAddress",
                      {{"/etc/netplan/50-cloud-init.yaml",
                        "network:\n    ethernets:\n        lan:\n            match:\n                "
                        "macaddress: 00:50:56:00:00:0b\n"
                        "            set-name: ens160\n"}},
                      {A, B},
                      {{"ens160", B}}},
        Configuration{"KernelNames",
                      {{"/etc/network/interfaces",
                        "iface eth1 inet dhcp\niface eth0 inet dhcp\niface eth0:1 inet static\n"}},
                      {A, B},
                      {{"eth0", A}, {"eth1", B}}},
        Configuration{"OldFirmwareIndex",
                      {{"/etc/sysconfig/network-scripts/ifcfg-eno33554960", "DEVICE=eno33554960\n"},
                       {"/etc/sysconfig/network-scripts/ifcfg-eno16777736", "DEVICE=eno16777736\n"}},
                      {A, B},
                      {{"eno16777736", A}, {"eno33554960", B}}},
        Configuration{"NameThatIsAnAddress",
                      {{"/etc/network/interfaces", "iface enx00505600000b inet dhcp\n"}},
                      {A, B},
                      {{"enx00505600000b", B}}}),
    [](const auto& configuration) { return std::string(configuration.param.name); });

TEST(Network, SaysWhatIsAmbiguous) {
  TestGuest guest;
  guest.tree.file("/usr/lib/systemd/network/99-default.link", "")
      .file("/etc/network/interfaces", "iface ens192 inet dhcp\niface eth0 inet dhcp\n");
  guest.request.nics = {{"a", A, ""}, {"b", B, ""}};
  Outcome outcome = guest.run(repair_network);
  EXPECT_THAT(outcome.edits, IsEmpty());
  EXPECT_THAT(outcome.warnings, ElementsAre(HasSubstr("in several ways")));
}

TEST(Network, SaysWhereCardsAreNotConfigured) {
  TestGuest guest;
  guest.tree.file("/usr/lib/systemd/network/99-default.link", "")
      .file("/etc/network/interfaces", "iface ens224 inet dhcp\n");
  guest.request.nics = {{"a", A, ""}, {"b", B, ""}};
  EXPECT_THAT(guest.run(repair_network).warnings, ElementsAre(HasSubstr("more network cards than")));
}

TEST(Network, TheOnlyCardNeedsNoAddress) {
  TestGuest guest;
  guest.tree.file("/usr/lib/systemd/network/99-default.link", "")
      .file("/etc/network/interfaces", "iface ens192 inet dhcp\n");
  guest.request.nics.clear();
  guest.run(repair_network);
  EXPECT_EQ(guest.tree.read("/etc/systemd/network/10-hyper2kvm-ens192.link"),
            "[Match]\nDriver=virtio_net\nType=ether\n\n[Link]\nName=ens192\n");
}

TEST(Network, OldUdevGetsARule) {
  TestGuest guest;
  guest.tree.directory("/etc/udev/rules.d")
      .file("/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\n");
  guest.request.nics = {{"a", A, ""}};
  guest.run(repair_network);
  EXPECT_EQ(guest.tree.read(kPersistentNetRules),
            "SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"" A
            "\", ATTR{type}==\"1\", NAME=\"eth0\"\n");
}

TEST(Network, StaleRulesGoAndGoodOnesLoseTheirDriver) {
  TestGuest guest;
  guest.tree.file("/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\n")
      .file("/etc/sysconfig/network-scripts/ifcfg-eth1", "DEVICE=eth1\n")
      .file(kPersistentNetRules,
            "# PCI device 0x15ad:0x07b0 (vmxnet3)\n"
            "SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"00:0c:29:99:99:99\", "
            "NAME=\"eth0\"\n"
            "SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"vmxnet3\", ATTR{address}==\"" B
            "\", NAME=\"eth1\"\n");
  guest.request.nics = {{"a", A, ""}, {"b", B, ""}};
  guest.run(repair_network);
  std::string rules = guest.tree.read(kPersistentNetRules);
  EXPECT_EQ(rules.find("00:0c:29"), std::string::npos);
  EXPECT_THAT(rules, HasSubstr("DRIVERS==\"?*\", ATTR{address}==\"" B "\", NAME=\"eth1\""));
  EXPECT_THAT(rules, HasSubstr("ATTR{address}==\"" A "\", ATTR{type}==\"1\", NAME=\"eth0\""));
}

TEST(Network, RulesThatAreAllStaleAreRemoved) {
  TestGuest guest;
  guest.tree.file("/usr/lib/systemd/network/99-default.link", "")
      .file(kPersistentNetRules,
            "# old\nSUBSYSTEM==\"net\", ATTR{address}==\"00:0c:29:99:99:99\", NAME=\"eth0\"\n");
  guest.request.nics = {{"a", A, ""}};
  guest.run(repair_network);
  EXPECT_FALSE(guest.tree.exists(kPersistentNetRules));
}

TEST(Network, RulesStayWhereTheManifestKnowsNoCards) {
  TestGuest guest;
  guest.tree.file("/usr/lib/systemd/network/99-default.link", "")
      .file(kPersistentNetRules, "SUBSYSTEM==\"net\", ATTR{address}==\"00:0c:29:99:99:99\", NAME=\"eth0\"\n");
  guest.request.nics.clear();
  EXPECT_THAT(guest.run(repair_network).edits, IsEmpty());
}

TEST(Network, AHostileNameIsNotWrittenAnywhere) {
  TestGuest guest;
  guest.tree.file("/usr/lib/systemd/network/99-default.link", "")
      .file("/etc/sysconfig/network-scripts/ifcfg-x", "DEVICE=\"../../../etc/x\"\nHWADDR=" A "\n")
      .file("/etc/network/interfaces", "iface eth0/../../evil inet dhcp\niface eth0\x1b[2J inet dhcp\n");
  guest.request.nics = {{"a", A, ""}};
  EXPECT_THAT(guest.run(repair_network).edits, IsEmpty());
}

}  // namespace
}  // namespace hyper2kvm::guest
