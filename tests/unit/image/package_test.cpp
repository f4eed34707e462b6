// OVA and OVF: the exports of vSphere, ovftool and VirtualBox, and archives that try tricks.
#include "runner/image/package.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/image/conversion.h"
#include "runner/image/ovf.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "tests/unit/image/disks.h"
#include "tests/unit/image/tar_maker.h"
#include "tests/unit/image/vmware_stream.h"
#include "tests/unit/image/with_directory.h"

namespace hyper2kvm::image {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TarMember;

const char kEnvelope[] =
    R"(<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
  xmlns:vmw="http://www.vmware.com/schema/ovf">)";

std::string item(int type, int instance, const std::string& more) {
  return "<Item>" + more + "<rasd:InstanceID>" + std::to_string(instance) +
         "</rasd:InstanceID><rasd:ResourceType>" + std::to_string(type) + "</rasd:ResourceType></Item>\n";
}

// What vSphere writes, with the disk items that are asked for.
std::string vsphere_ovf(const std::string& references, const std::string& disks, const std::string& items,
                        const std::string& configs = "") {
  return std::string(kEnvelope) + "<References>" + references + "</References><DiskSection><Info/>" + disks +
         R"(</DiskSection>
  <NetworkSection><Info/><Network ovf:name="VM Network"/></NetworkSection>
  <VirtualSystem ovf:id="web-01"><Info/><Name>web-01</Name>
  <OperatingSystemSection ovf:id="96" vmw:osType="debian11_64Guest"><Info/><Description>Debian GNU/Linux 11 (64-bit)</Description></OperatingSystemSection>
  <VirtualHardwareSection><Info/>)" +
         item(3, 1,
              "<rasd:AllocationUnits>hertz * "
              "10^6</rasd:AllocationUnits><rasd:VirtualQuantity>2</rasd:VirtualQuantity>") +
         item(4, 2,
              "<rasd:AllocationUnits>byte * "
              "2^20</rasd:AllocationUnits><rasd:VirtualQuantity>4096</rasd:VirtualQuantity>") +
         items + configs + "</VirtualHardwareSection></VirtualSystem></Envelope>";
}

std::string disk_item(int instance, int parent, int place, const std::string& disk) {
  return item(17, instance,
              "<rasd:AddressOnParent>" + std::to_string(place) +
                  "</rasd:AddressOnParent><rasd:ElementName>Hard Disk " + std::to_string(instance) +
                  "</rasd:ElementName><rasd:HostResource>ovf:/disk/" + disk +
                  "</rasd:HostResource><rasd:Parent>" + std::to_string(parent) + "</rasd:Parent>");
}

class Packages : public testing::WithDirectory {
 protected:
  void write(const std::string& name, const std::string& text) {
    testing::write_all(at(name), std::as_bytes(std::span(text.data(), text.size())));
  }

  // A small streamOptimized disk as a string.
  std::string vmdk(std::uint64_t grains = 4) const {
    std::vector<std::byte> disk(grains * 65536, std::byte{7});
    testing::StreamMaker maker;
    maker.capacity_sectors = disk.size() / 512;
    std::vector<std::byte> image = maker.make(disk);
    return std::string(reinterpret_cast<const char*>(image.data()), image.size());
  }

  std::string one_disk_ovf(const std::string& file_attributes,
                           const std::string& disk_attributes = "") const {
    return vsphere_ovf(
        "<File ovf:id=\"file1\" ovf:href=\"disk-1.vmdk\" " + file_attributes + "/>",
        "<Disk ovf:diskId=\"vmdisk1\" ovf:fileRef=\"file1\" ovf:capacity=\"262144\" "
        "ovf:capacityAllocationUnits=\"byte\" "
        "ovf:format=\"http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized\" " +
            disk_attributes + "/>",
        item(6, 3, "<rasd:Address>0</rasd:Address>") + disk_item(4, 3, 0, "vmdisk1"));
  }

  std::string digest_of(const std::string& text) {
    write("digest", text);
    return sha256_of(testing::whole(at("digest")), {}, {});
  }

  std::string problem_of_ova(const std::string& archive) {
    write("machine.ova", archive);
    try {
      open_ova(at("machine.ova"));
    } catch (const os::Error& error) {
      EXPECT_EQ(error.kind(), os::ErrorKind::kInvalid) << error.sentence();
      return error.sentence();
    }
    return "";
  }
};

TEST_F(Packages, AnOvaOfVsphereBecomesAManifest) {
  const std::string disk = vmdk();
  const std::string ovf = vsphere_ovf(
      "<File ovf:id=\"file1\" ovf:href=\"disk-1.vmdk\" ovf:size=\"" + std::to_string(disk.size()) + "\"/>",
      "<Disk ovf:diskId=\"vmdisk1\" ovf:fileRef=\"file1\" ovf:capacity=\"256\" "
      "ovf:capacityAllocationUnits=\"byte * 2^10\" ovf:format=\"http://www.vmware.com/vmdk.html\"/>",
      item(6, 3, "<rasd:Address>0</rasd:Address>") + disk_item(4, 3, 0, "vmdisk1") +
          item(10, 5,
               "<rasd:Address>00:50:56:AB:CD:EF</rasd:Address><rasd:Connection>VM Network</rasd:Connection>"),
      "<vmw:Config ovf:required=\"false\" vmw:key=\"firmware\" vmw:value=\"efi\"/>"
      "<vmw:Config vmw:key=\"bootOptions.efiSecureBootEnabled\" vmw:value=\"true\"/>");
  write("machine.ova",
        testing::make_tar({{"machine.ovf", ovf},
                           {"machine.mf", "SHA256(machine.ovf)= " + digest_of(ovf) +
                                              "\nSHA256(disk-1.vmdk)= " + digest_of(disk) + "\n"},
                           {"machine.cert", "-----BEGIN CERTIFICATE-----"},
                           {"disk-1.vmdk", disk}}));
  Package package = open_ova(at("machine.ova"));
  const contract::Manifest& manifest = package.manifest;
  EXPECT_THAT(package.warnings, IsEmpty());
  EXPECT_EQ(manifest.source.vm_name, "web-01");
  EXPECT_EQ(manifest.source.provider, "vsphere");
  EXPECT_EQ(manifest.vm.cpu, 2u);
  EXPECT_EQ(manifest.vm.mem_gb, 4u);
  EXPECT_EQ(manifest.vm.firmware, contract::Firmware::kUefi);
  EXPECT_TRUE(manifest.vm.secureboot);
  EXPECT_EQ(manifest.vm.os_hint, contract::OsHint::kLinux);
  EXPECT_EQ(manifest.vm.os_version, "Debian GNU/Linux 11 (64-bit)");
  ASSERT_EQ(manifest.disks.size(), 1u);
  EXPECT_EQ(manifest.disks[0].id, "disk-0");
  EXPECT_EQ(manifest.disks[0].source_format, contract::SourceFormat::kVmdk);
  EXPECT_EQ(manifest.disks[0].bytes, disk.size());
  EXPECT_EQ(manifest.disks[0].sha256, digest_of(disk));
  EXPECT_EQ(manifest.disks[0].boot_order_hint, 0);
  EXPECT_EQ(manifest.disks[0].label, "Hard Disk 4");
  ASSERT_EQ(manifest.nics.size(), 1u);
  EXPECT_EQ(manifest.nics[0].mac, "00:50:56:ab:cd:ef");
  EXPECT_EQ(manifest.nics[0].network, "VM Network");
  EXPECT_TRUE(manifest.has_pipeline && manifest.pipeline.inspect.enabled && manifest.pipeline.fix.enabled &&
              manifest.pipeline.convert.enabled && manifest.pipeline.validate.enabled);
  // The location is the member itself.
  EXPECT_EQ(sha256_of(package.locations[0], {}, {}), digest_of(disk));
  EXPECT_EQ(open_source(package.locations[0], contract::SourceFormat::kVmdk, "disk0").layout,
            Layout::kStreamOptimized);
}

TEST_F(Packages, LongNamesAndSizesInPaxHeadersAreUnderstood) {
  const std::string disk = vmdk();
  const std::string name = std::string(150, 'd') + ".vmdk";
  std::string ovf = one_disk_ovf("");
  ovf.replace(ovf.find("disk-1.vmdk"), 11, name);
  write("machine.ova", testing::make_tar({{"machine.ovf", ovf}, {name, disk, '0', "", true}}));
  Package package = open_ova(at("machine.ova"));
  EXPECT_EQ(sha256_of(package.locations[0], {}, {}), digest_of(disk));
}

TEST_F(Packages, DisksComeInTheOrderOfTheirControllersAndPlaces) {
  const std::string disk = vmdk();
  std::string references;
  std::string disks;
  for (const char* letter : {"a", "b", "c", "d"}) {
    references += std::string("<File ovf:id=\"f") + letter + "\" ovf:href=\"" + letter + ".vmdk\"/>";
    disks += std::string("<Disk ovf:diskId=\"v") + letter + "\" ovf:fileRef=\"f" + letter + "\"/>";
  }
  const std::string ovf =
      vsphere_ovf(references, disks,
                  disk_item(20, 4, 0, "vd") + disk_item(21, 3, 2, "vc") + item(6, 3, "") + item(20, 4, "") +
                      disk_item(22, 3, 0, "va") + disk_item(23, 3, 1, "vb"));
  write("machine.ova",
        testing::make_tar(
            {{"m.ovf", ovf}, {"d.vmdk", disk}, {"b.vmdk", disk}, {"c.vmdk", disk}, {"a.vmdk", disk}}));
  std::vector<std::string> names;
  for (const ImageLocation& location : open_ova(at("machine.ova")).locations) names.push_back(location.name);
  EXPECT_THAT(names, ElementsAre("a.vmdk in machine.ova", "b.vmdk in machine.ova", "c.vmdk in machine.ova",
                                 "d.vmdk in machine.ova"));
}

TEST_F(Packages, VirtualBoxSaysFirmwareAndMacsInItsOwnElement) {
  const std::string ovf = R"(<?xml version="1.0"?>
<Envelope ovf:version="1.0" xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vbox="http://www.virtualbox.org/ovf/machine">
  <References><File ovf:id="file1" ovf:href="box-disk001.vmdk"/></References>
  <DiskSection><Info/><Disk ovf:capacity="262144" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/></DiskSection>
  <NetworkSection><Info/><Network ovf:name="NAT"/></NetworkSection>
  <VirtualSystem ovf:id="box"><Info/>
    <OperatingSystemSection ovf:id="103"><Info/><Description>Windows2019_64</Description><vbox:OSType ovf:required="false">Windows2019_64</vbox:OSType></OperatingSystemSection>
    <VirtualHardwareSection><Info/>
      <Item><rasd:Caption>1 virtual CPU</rasd:Caption><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>1</rasd:VirtualQuantity></Item>
      <Item><rasd:AllocationUnits>MegaBytes</rasd:AllocationUnits><rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>1536</rasd:VirtualQuantity></Item>
      <Item><rasd:Address>0</rasd:Address><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>AHCI</rasd:ResourceSubType><rasd:ResourceType>20</rasd:ResourceType></Item>
      <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:HostResource>/disk/vmdisk1</rasd:HostResource><rasd:InstanceID>4</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
      <Item><rasd:Connection>NAT</rasd:Connection><rasd:InstanceID>5</rasd:InstanceID><rasd:ResourceType>10</rasd:ResourceType></Item>
    </VirtualHardwareSection>
    <vbox:Machine ovf:required="false"><Hardware><Firmware type="EFI"/><Network><Adapter slot="0" enabled="true" MACAddress="080027A1B2C3"/><Adapter slot="1" enabled="false" MACAddress="080027000000"/></Network></Hardware></vbox:Machine>
  </VirtualSystem></Envelope>)";
  OvfMachine machine = parse_ovf(ovf, "box.ovf");
  EXPECT_EQ(machine.provider, "virtualbox");
  EXPECT_EQ(machine.name, "box");
  EXPECT_EQ(machine.memory, 1536ull << 20);
  EXPECT_EQ(machine.firmware, contract::Firmware::kUefi);
  EXPECT_EQ(machine.os_hint, contract::OsHint::kWindows);
  ASSERT_EQ(machine.nics.size(), 1u);
  EXPECT_EQ(machine.nics[0].mac, "08:00:27:a1:b2:c3");
  ASSERT_EQ(machine.disks.size(), 1u);
  EXPECT_EQ(machine.disks[0].capacity, 262144u);
}

TEST_F(Packages, AnOvfFindsItsFilesBesideItself) {
  write("disk-1.vmdk", vmdk());
  write("machine.ovf", one_disk_ovf(""));
  Package package = open_ovf(at("machine.ovf"));
  EXPECT_EQ(package.locations.at(0).file, at("disk-1.vmdk"));
  EXPECT_EQ(package.manifest.source.export_method, "ovf");
}

TEST_F(Packages, AnOvfThatLooksElsewhereIsRefused) {
  for (const std::string href : {"../disk.vmdk", "/etc/passwd", "a/b.vmdk", "%2e%2e%2fdisk.vmdk", ".."}) {
    std::string ovf = one_disk_ovf("");
    ovf.replace(ovf.find("disk-1.vmdk"), 11, href);
    write("machine.ovf", ovf);
    EXPECT_THROW(open_ovf(at("machine.ovf")), os::Error) << href;
  }
  std::filesystem::create_symlink("/etc/passwd", at("disk-1.vmdk"));
  write("machine.ovf", one_disk_ovf(""));
  EXPECT_THROW(open_ovf(at("machine.ovf")), os::Error);
}

TEST_F(Packages, TricksInTheArchiveAreRefusedByName) {
  const std::string ovf = one_disk_ovf("");
  const TarMember first{"machine.ovf", ovf};
  const std::string disk = vmdk();
  auto refused = [&](const TarMember& member) {
    return problem_of_ova(testing::make_tar({first, member, {"disk-1.vmdk", disk}}));
  };
  EXPECT_EQ(refused({"readme", "text"}), "");
  EXPECT_THAT(refused({"../disk.vmdk", "x"}), HasSubstr("\"../disk.vmdk\", whose name leads out"));
  EXPECT_THAT(refused({"a/../../disk.vmdk", "x"}), HasSubstr("leads out"));
  EXPECT_THAT(refused({"/etc/cron.d/x", "x"}), HasSubstr("leads out"));
  EXPECT_THAT(refused({"link", "", '2', "/etc/passwd"}), HasSubstr("\"link\", which is a link"));
  EXPECT_THAT(refused({"link", "", '1', "disk-1.vmdk"}), HasSubstr("which is a link"));
  EXPECT_THAT(refused({"device", "", '3'}), HasSubstr("which is no plain file"));
  EXPECT_THAT(refused({"machine.ovf", ovf}), HasSubstr("more than once"));
  EXPECT_THAT(refused({"second.ovf", ovf}), HasSubstr("more than one OVF"));
  EXPECT_THAT(refused({"big", "x", '0', "", true, 1ull << 40}), HasSubstr("ends inside its member \"big\""));
}

TEST_F(Packages, ATruncatedArchiveIsRefused) {
  const std::string archive =
      testing::make_tar({{"machine.ovf", one_disk_ovf("")}, {"disk-1.vmdk", vmdk()}}, false);
  EXPECT_EQ(problem_of_ova(archive), "");
  EXPECT_THAT(problem_of_ova(archive.substr(0, archive.size() - 700)), HasSubstr("truncated"));
  EXPECT_NE(problem_of_ova(archive.substr(0, 300)), "");
  EXPECT_NE(problem_of_ova(""), "");
  EXPECT_NE(problem_of_ova(std::string(4096, 'x')), "");
}

TEST_F(Packages, WhatTheOvfPromisesMustBeThere) {
  const std::string disk = vmdk();
  EXPECT_THAT(problem_of_ova(testing::make_tar({{"m.ovf", one_disk_ovf("")}})),
              HasSubstr("refers to the disk \"disk-1.vmdk\", which is not there"));
  EXPECT_THAT(
      problem_of_ova(testing::make_tar({{"m.ovf", one_disk_ovf("ovf:size=\"17\"")}, {"disk-1.vmdk", disk}})),
      HasSubstr("and the OVF says 17"));
  EXPECT_THAT(problem_of_ova(testing::make_tar(
                  {{"m.ovf", one_disk_ovf("ovf:compression=\"gzip\"")}, {"disk-1.vmdk", disk}})),
              HasSubstr("compressed with gzip"));
  EXPECT_THAT(problem_of_ova(testing::make_tar(
                  {{"m.ovf", one_disk_ovf("ovf:chunkSize=\"1000\"")}, {"disk-1.vmdk", disk}})),
              HasSubstr("in chunks"));
  EXPECT_THAT(problem_of_ova(testing::make_tar(
                  {{"m.ovf", one_disk_ovf("", "ovf:parentRef=\"vmdisk0\"")}, {"disk-1.vmdk", disk}})),
              HasSubstr("the difference to another"));
  EXPECT_THAT(problem_of_ova(testing::make_tar({{"m.ovf", one_disk_ovf("")},
                                                {"m.mf", "SHA256(m.ovf)= " + std::string(64, '0')},
                                                {"disk-1.vmdk", disk}})),
              HasSubstr("its SHA-256 is not the one"));
  EXPECT_THAT(problem_of_ova(testing::make_tar(
                  {{"m.ovf", one_disk_ovf("")}, {"m.mf", "rubbish"}, {"disk-1.vmdk", disk}})),
              HasSubstr("has a line that is no digest"));
  EXPECT_THAT(problem_of_ova(testing::make_tar({{"m.ovf", "<Envelope/>"}})),
              HasSubstr("describes no machine"));
  EXPECT_THAT(problem_of_ova(testing::make_tar({{"m.ovf", "no xml"}})), HasSubstr("is no"));
}

TEST_F(Packages, AnotherSizeInTheOvfAndAnOldDigestAreWarnings) {
  std::string ovf = one_disk_ovf("");
  ovf.replace(ovf.find("262144"), 6, "300000");
  write("machine.ova", testing::make_tar({{"m.ovf", ovf},
                                          {"m.mf", "SHA1(disk-1.vmdk)= " + std::string(40, 'a')},
                                          {"disk-1.vmdk", vmdk()}}));
  EXPECT_THAT(
      open_ova(at("machine.ova")).warnings,
      ElementsAre(HasSubstr("the disk has 300000 bytes, and it has 262144"), HasSubstr("of the kind SHA1")));
}

TEST_F(Packages, EntitiesAreNotExpanded) {
  std::string ovf = one_disk_ovf("");
  const std::string bomb =
      "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;\"><!ENTITY c SYSTEM "
      "\"file:///etc/passwd\">]>";
  ovf.insert(ovf.find("<Envelope"), bomb);
  ovf.replace(ovf.find("<Name>web-01"), 12, "<Name>&b;&c;");
  EXPECT_EQ(parse_ovf(ovf, "m.ovf").name, "&b;&c;");
}

TEST_F(Packages, DisksAloneAreAMachineToo) {
  write("a.vmdk", vmdk());
  write("b.raw", std::string(65536, 'x'));
  Package package = open_disks({at("a.vmdk"), at("b.raw")}, "pair");
  EXPECT_EQ(package.manifest.source.vm_name, "pair");
  ASSERT_EQ(package.manifest.disks.size(), 2u);
  EXPECT_EQ(package.manifest.disks[0].source_format, contract::SourceFormat::kVmdk);
  EXPECT_EQ(package.manifest.disks[1].source_format, contract::SourceFormat::kRaw);
  EXPECT_EQ(package.manifest.boot_disk(), 0u);
}

TEST(AllocationUnit, AllSpellingsAreUnderstood) {
  EXPECT_EQ(parse_allocation_unit("byte * 2^20"), 1ull << 20);
  EXPECT_EQ(parse_allocation_unit("byte*2^30"), 1ull << 30);
  EXPECT_EQ(parse_allocation_unit("byte * 10^9"), 1000000000ull);
  EXPECT_EQ(parse_allocation_unit("MegaBytes"), 1ull << 20);
  EXPECT_EQ(parse_allocation_unit("GB"), 1ull << 30);
  EXPECT_EQ(parse_allocation_unit("byte"), 1u);
  EXPECT_EQ(parse_allocation_unit(""), 1u);
  EXPECT_EQ(parse_allocation_unit("byte * 2^99"), std::nullopt);
  EXPECT_EQ(parse_allocation_unit("furlongs"), std::nullopt);
}

}  // namespace
}  // namespace hyper2kvm::image
