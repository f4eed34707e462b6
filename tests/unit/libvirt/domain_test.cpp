#include "runner/libvirt/domain.h"

#include <gtest/gtest.h>

#include <functional>
#include <pugixml.hpp>

#include "runner/os/error.h"

namespace hyper2kvm::libvirt {
namespace {

DomainFacts small_machine() {
  DomainFacts facts;
  facts.name = "web01";
  facts.disks = {{"/srv/web01/disk-0.qcow2", contract::OutputFormat::kQcow2}};
  return facts;
}

// What an XPath says of the domain: the first match's text or value, empty where nothing matches.
class Domain {
 public:
  explicit Domain(const DomainFacts& facts, const HostFacts& host = {},
                  const std::vector<OwnedVolume>& owned = {})
      : xml(domain_xml(facts, host, owned)) {
    EXPECT_TRUE(document_.load_string(xml.c_str()));
  }
  std::string at(const char* path) const {
    pugi::xpath_node found = document_.select_node(path);
    return found.attribute() ? found.attribute().value() : found.node().text().get();
  }
  std::size_t count(const char* path) const { return document_.select_nodes(path).size(); }
  const std::string xml;

 private:
  pugi::xml_document document_;
};

os::Error error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const os::Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error";
  return os::Error(os::ErrorKind::kInternal, "", "");
}

TEST(DomainXml, HasTheMachinesNameProcessorsAndMemory) {
  DomainFacts facts = small_machine();
  facts.cpus = 6;
  facts.memory_bytes = 3ull << 30;
  Domain domain(facts);
  EXPECT_EQ(domain.at("/domain/name"), "web01");
  EXPECT_EQ(domain.at("/domain/vcpu"), "6");
  EXPECT_EQ(domain.at("/domain/cpu/topology/@cores"), "6");
  EXPECT_EQ(domain.at("/domain/cpu/topology/@sockets"), "1");
  EXPECT_EQ(domain.at("/domain/memory"), "3145728");
  EXPECT_EQ(domain.at("/domain/memory/@unit"), "KiB");
}

TEST(DomainXml, MemoryIsRoundedUpToWholeMebibytes) {
  DomainFacts facts = small_machine();
  facts.memory_bytes = (512ull << 20) + 1;
  EXPECT_EQ(Domain(facts).at("/domain/memory"), std::to_string(513 * 1024));
}

TEST(DomainXml, IsAQ35MachineWithSerialConsoleAgentChannelRandomNumbersAndBalloon) {
  Domain domain(small_machine());
  EXPECT_EQ(domain.at("/domain/os/type/@machine"), "q35");
  EXPECT_EQ(domain.at("/domain/os/type/@arch"), "x86_64");
  EXPECT_EQ(domain.at("/domain/devices/serial/@type"), "pty");
  EXPECT_EQ(domain.at("/domain/devices/console/target/@type"), "serial");
  EXPECT_EQ(domain.at("/domain/devices/channel/target/@name"), "org.qemu.guest_agent.0");
  EXPECT_EQ(domain.at("/domain/devices/rng/@model"), "virtio");
  EXPECT_EQ(domain.at("/domain/devices/memballoon/@model"), "virtio");
  EXPECT_EQ(domain.at("/domain/clock/@offset"), "utc");
  EXPECT_EQ(domain.count("/domain/features/acpi"), 1u);
  EXPECT_EQ(domain.count("/domain/features/apic"), 1u);
}

TEST(DomainXml, AnswersNoLongerOnVmwaresPort) {
  EXPECT_EQ(Domain(small_machine()).at("/domain/features/vmport/@state"), "off");
}

TEST(DomainXml, TheScreenIsForThisHostOnly) {
  Domain domain(small_machine());
  EXPECT_EQ(domain.at("/domain/devices/graphics/@type"), "vnc");
  EXPECT_EQ(domain.at("/domain/devices/graphics/listen/@address"), "127.0.0.1");
}

TEST(DomainXml, IsHeadlessWhereTheEmulatorHasNoVnc) {
  HostFacts host;
  host.vnc = false;
  EXPECT_EQ(Domain(small_machine(), host).count("/domain/devices/graphics"), 0u);
}

TEST(DomainXml, DisksAreVirtioInTheOrderGivenAndBootInThatOrder) {
  DomainFacts facts = small_machine();
  facts.disks.clear();
  for (int index = 0; index < 28; ++index)
    facts.disks.push_back({"/srv/d" + std::to_string(index), contract::OutputFormat::kRaw});
  Domain domain(facts);
  EXPECT_EQ(domain.at("/domain/devices/disk[1]/target/@dev"), "vda");
  EXPECT_EQ(domain.at("/domain/devices/disk[1]/boot/@order"), "1");
  EXPECT_EQ(domain.at("/domain/devices/disk[2]/target/@dev"), "vdb");
  EXPECT_EQ(domain.at("/domain/devices/disk[2]/target/@bus"), "virtio");
  EXPECT_EQ(domain.at("/domain/devices/disk[26]/target/@dev"), "vdz");
  EXPECT_EQ(domain.at("/domain/devices/disk[27]/target/@dev"), "vdaa");
  EXPECT_EQ(domain.at("/domain/devices/disk[28]/target/@dev"), "vdab");
  EXPECT_EQ(domain.at("/domain/devices/disk[28]/boot/@order"), "28");
  EXPECT_EQ(domain.at("/domain/devices/disk[28]/source/@file"), "/srv/d27");
}

TEST(DomainXml, TheFormatIsNamedSoThatTheEmulatorNeverProbes) {
  DomainFacts facts = small_machine();
  facts.disks = {{"/srv/a", contract::OutputFormat::kQcow2},
                 {"/srv/b", contract::OutputFormat::kRaw},
                 {"/srv/c", contract::OutputFormat::kVdi}};
  Domain domain(facts);
  EXPECT_EQ(domain.at("/domain/devices/disk[1]/driver/@type"), "qcow2");
  EXPECT_EQ(domain.at("/domain/devices/disk[2]/driver/@type"), "raw");
  EXPECT_EQ(domain.at("/domain/devices/disk[3]/driver/@type"), "vdi");
}

TEST(DomainXml, ABlockDeviceIsADeviceWithoutTheHostsCache) {
  DomainFacts facts = small_machine();
  facts.disks = {{"/dev/vg/web01", contract::OutputFormat::kRaw, true}};
  Domain domain(facts);
  EXPECT_EQ(domain.at("/domain/devices/disk/@type"), "block");
  EXPECT_EQ(domain.at("/domain/devices/disk/source/@dev"), "/dev/vg/web01");
  EXPECT_EQ(domain.at("/domain/devices/disk/driver/@cache"), "none");
}

TEST(DomainXml, NicsKeepTheirMacAddressesAndTheirPlaces) {
  DomainFacts facts = small_machine();
  facts.nics = {{"00:50:56:aa:bb:01", "default", ""}, {"00:50:56:aa:bb:02", "", "br0"}, {"", "", ""}};
  Domain domain(facts);
  EXPECT_EQ(domain.at("/domain/devices/interface[1]/@type"), "network");
  EXPECT_EQ(domain.at("/domain/devices/interface[1]/source/@network"), "default");
  EXPECT_EQ(domain.at("/domain/devices/interface[1]/mac/@address"), "00:50:56:aa:bb:01");
  EXPECT_EQ(domain.at("/domain/devices/interface[1]/model/@type"), "virtio");
  EXPECT_EQ(domain.at("/domain/devices/interface[2]/@type"), "bridge");
  EXPECT_EQ(domain.at("/domain/devices/interface[2]/source/@bridge"), "br0");
  EXPECT_EQ(domain.at("/domain/devices/interface[3]/@type"), "user");
  EXPECT_EQ(domain.count("/domain/devices/interface[3]/mac"), 0u);
}

TEST(DomainXml, AGuestWithoutVirtioGetsSataAndE1000e) {
  DomainFacts facts = small_machine();
  facts.virtio = false;
  facts.nics = {{}};
  Domain domain(facts);
  EXPECT_EQ(domain.at("/domain/devices/disk/target/@dev"), "sda");
  EXPECT_EQ(domain.at("/domain/devices/disk/target/@bus"), "sata");
  EXPECT_EQ(domain.at("/domain/devices/interface/model/@type"), "e1000e");
}

TEST(DomainXml, BiosNamesNoFirmware) {
  Domain domain(small_machine());
  EXPECT_EQ(domain.count("/domain/os/@firmware"), 0u);
  EXPECT_EQ(domain.count("/domain/os/loader"), 0u);
}

TEST(DomainXml, UefiIsChosenByLibvirtWithoutSecureBoot) {
  DomainFacts facts = small_machine();
  facts.firmware = contract::Firmware::kUefi;
  Domain domain(facts);
  EXPECT_EQ(domain.at("/domain/os/@firmware"), "efi");
  EXPECT_EQ(domain.at("/domain/os/firmware/feature[@name='secure-boot']/@enabled"), "no");
  EXPECT_EQ(domain.at("/domain/os/firmware/feature[@name='enrolled-keys']/@enabled"), "no");
  EXPECT_EQ(domain.count("/domain/features/smm"), 0u);
}

TEST(DomainXml, SecureBootHasKeysAndSystemManagementMode) {
  DomainFacts facts = small_machine();
  facts.firmware = contract::Firmware::kUefi;
  facts.secure_boot = true;
  Domain domain(facts);
  EXPECT_EQ(domain.at("/domain/os/firmware/feature[@name='secure-boot']/@enabled"), "yes");
  EXPECT_EQ(domain.at("/domain/os/firmware/feature[@name='enrolled-keys']/@enabled"), "yes");
  EXPECT_EQ(domain.at("/domain/os/loader/@secure"), "yes");
  EXPECT_EQ(domain.at("/domain/features/smm/@state"), "on");
}

TEST(DomainXml, AFirmwareImageThatIsNamedIsTaken) {
  DomainFacts facts = small_machine();
  facts.firmware = contract::Firmware::kUefi;
  HostFacts host;
  host.uefi_loader = "/fw/CODE.fd";
  host.uefi_nvram_template = "/fw/VARS.fd";
  Domain domain(facts, host);
  EXPECT_EQ(domain.count("/domain/os/@firmware"), 0u);
  EXPECT_EQ(domain.at("/domain/os/loader"), "/fw/CODE.fd");
  EXPECT_EQ(domain.at("/domain/os/loader/@type"), "pflash");
  EXPECT_EQ(domain.at("/domain/os/loader/@readonly"), "yes");
  EXPECT_EQ(domain.at("/domain/os/nvram/@template"), "/fw/VARS.fd");
}

TEST(DomainXml, ATpmIsEmulatedAndOfVersion2) {
  EXPECT_EQ(Domain(small_machine()).count("/domain/devices/tpm"), 0u);
  DomainFacts facts = small_machine();
  facts.tpm = true;
  Domain domain(facts);
  EXPECT_EQ(domain.at("/domain/devices/tpm/backend/@type"), "emulator");
  EXPECT_EQ(domain.at("/domain/devices/tpm/backend/@version"), "2.0");
}

TEST(DomainXml, TheProcessorIsTheHostsUnderKvm) {
  HostFacts host;
  host.domain_type = "kvm";
  host.cpu_mode = "host-passthrough";
  Domain domain(small_machine(), host);
  EXPECT_EQ(domain.at("/domain/@type"), "kvm");
  EXPECT_EQ(domain.at("/domain/cpu/@mode"), "host-passthrough");
}

TEST(DomainXml, NamesTheOperatingSystemForLibosinfo) {
  DomainFacts facts = small_machine();
  facts.os_id = "http://debian.org/debian/12";
  Domain domain(facts);
  EXPECT_EQ(domain.at("/domain/metadata/libosinfo:libosinfo/libosinfo:os/@id"),
            "http://debian.org/debian/12");
  EXPECT_NE(domain.xml.find("xmlns:libosinfo=\"http://libosinfo.org/xmlns/libvirt/domain/1.0\""),
            std::string::npos);
}

TEST(DomainXml, WindowsKeepsLocalTime) {
  DomainFacts facts = small_machine();
  facts.os_id = "http://microsoft.com/win/2k22";
  EXPECT_EQ(Domain(facts).at("/domain/clock/@offset"), "localtime");
}

TEST(DomainXml, NothingFromOutsideBreaksOutOfItsPlace) {
  DomainFacts facts = small_machine();
  const std::string trick = "</name><devices><x a='1' b=\"2\"/>&amp;]]><!--";
  facts.name = "a<b>&'\"c";
  facts.title = trick + "\n\x01 second line";
  facts.os_id = trick;
  facts.disks = {{"/srv/" + trick, contract::OutputFormat::kRaw}};
  facts.nics = {{"", trick, ""}, {"", "", trick}};
  Domain domain(facts, {}, {{trick, trick}});
  EXPECT_EQ(domain.at("/domain/name"), facts.name);
  EXPECT_EQ(domain.at("/domain/title"), trick + "   second line");
  EXPECT_EQ(domain.at("/domain/devices/disk/source/@file"), "/srv/" + trick);
  EXPECT_EQ(domain.at("/domain/devices/interface[1]/source/@network"), trick);
  EXPECT_EQ(domain.at("/domain/devices/interface[2]/source/@bridge"), trick);
  EXPECT_EQ(domain.count("/domain/devices"), 1u);
  EXPECT_EQ(domain.count("//x"), 0u);
}

TEST(DomainXml, RemembersTheVolumesThatWereMadeForIt) {
  std::vector<OwnedVolume> made = {{"default", "web01-disk-0.qcow2"}, {"a <pool>", "b & c"}};
  std::vector<OwnedVolume> found = owned_volumes(Domain(small_machine(), {}, made).xml);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].pool, "default");
  EXPECT_EQ(found[0].name, "web01-disk-0.qcow2");
  EXPECT_EQ(found[1].pool, "a <pool>");
  EXPECT_EQ(found[1].name, "b & c");
}

TEST(OwnedVolumes, AreNotTakenFromForeignMetadata) {
  EXPECT_TRUE(
      owned_volumes("<domain><metadata><x:conversion xmlns:x='urn:other'><x:volume pool='p' name='v'/>"
                    "</x:conversion></metadata></domain>")
          .empty());
  EXPECT_TRUE(owned_volumes("<domain><metadata/></domain>").empty());
  EXPECT_TRUE(owned_volumes("no XML at all").empty());
  EXPECT_TRUE(owned_volumes("").empty());
}

TEST(DomainXml, AMachineWithoutADiskIsRefused) {
  DomainFacts facts = small_machine();
  facts.disks.clear();
  os::Error error = error_of([&] { domain_xml(facts, {}); });
  EXPECT_EQ(error.kind(), os::ErrorKind::kInvalid);
  EXPECT_EQ(error.sentence(), "web01: has no disk. Name at least one disk in the manifest.");
}

TEST(DomainXml, AMachineWithoutCpuOrMemoryIsRefused) {
  DomainFacts facts = small_machine();
  facts.cpus = 0;
  EXPECT_EQ(error_of([&] { domain_xml(facts, {}); }).problem(), "has no CPU");
  facts.cpus = 1;
  facts.memory_bytes = 0;
  EXPECT_EQ(error_of([&] { domain_xml(facts, {}); }).problem(), "has no memory");
}

TEST(DomainXml, SecureBootWithoutUefiIsRefused) {
  DomainFacts facts = small_machine();
  facts.secure_boot = true;
  EXPECT_EQ(error_of([&] { domain_xml(facts, {}); }).problem(), "asks for Secure Boot with BIOS firmware");
}

TEST(DomainXml, AMacAddressThatIsNoneIsRefused) {
  for (const char* mac :
       {"x", "00:50:56:aa:bb", "00-50-56-aa-bb-01", "01:50:56:aa:bb:01", "00:50:56:aa:bb:0g"}) {
    DomainFacts facts = small_machine();
    facts.nics = {{mac, "", ""}};
    EXPECT_NE(error_of([&] { domain_xml(facts, {}); }).problem().find(mac), std::string::npos);
  }
}

TEST(DomainXml, APathThatXmlCannotHoldIsRefused) {
  for (const char* path : {"relative.qcow2", "", "/srv/a\nb", "/srv/\xff"}) {
    DomainFacts facts = small_machine();
    facts.disks = {{path, contract::OutputFormat::kRaw}};
    EXPECT_EQ(error_of([&] { domain_xml(facts, {}); }).kind(), os::ErrorKind::kInvalid);
  }
}

}  // namespace
}  // namespace hyper2kvm::libvirt
