#include <gmock/gmock.h>

#include "tests/unit/contract/documents.h"

namespace hyper2kvm::contract {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

TEST(Disks, MustBeThereAndNotEmpty) {
  json document = small_manifest();
  document.erase("disks");
  EXPECT_EQ(refusal(document), "m.json: disks: is missing and must be there");
  EXPECT_EQ(refusal(manifest_with("/disks", json::array())),
            "m.json: disks: is an empty list; allowed: at least one disk");
  EXPECT_THAT(refusal(manifest_with("/disks", "disk.vmdk")),
              HasSubstr("disks: \"disk.vmdk\" is not allowed"));
  EXPECT_THAT(refusal(manifest_with("/disks/0", "disk.vmdk")), HasSubstr("disks[0]: \"disk.vmdk\""));
}

TEST(Disks, HaveFourKeysThatMustBeThere) {
  for (const char* key : {"id", "source_format", "bytes", "local_path"}) {
    json document = small_manifest();
    document["disks"][0].erase(key);
    EXPECT_EQ(refusal(document), std::string("m.json: disks[0].") + key + ": is missing and must be there");
    document["disks"][0][key] = nullptr;
    EXPECT_EQ(refusal(document), std::string("m.json: disks[0].") + key + ": is missing and must be there");
  }
}

TEST(Disks, TheRestHasDefaults) {
  Disk disk = manifest_of(small_manifest()).disks.at(0);
  EXPECT_EQ(disk.id, "disk-0");
  EXPECT_EQ(disk.source_format, SourceFormat::kVmdk);
  EXPECT_EQ(disk.bytes, 4096u);
  EXPECT_EQ(disk.local_path, "disk-0.vmdk");
  EXPECT_EQ(disk.sha256, std::nullopt);
  EXPECT_EQ(disk.boot_order_hint, 999);
  EXPECT_EQ(disk.label, "disk-0");
  EXPECT_EQ(disk.disk_type, DiskType::kUnknown);
}

TEST(Disks, IdsAreOfLettersDigitsUnderscoreAndHyphen) {
  for (const char* id : {"a", "disk_1", "DISK-07", "-", "0"})
    EXPECT_EQ(manifest_of(manifest_with("/disks/0/id", id)).disks[0].id, id);
  for (const char* id : {"", "a b", "../x", "a/b", "a.b", "d\u00e9", "a\n"})
    EXPECT_THAT(refusal(manifest_with("/disks/0/id", id)), HasSubstr("disks[0].id: ")) << id;
  EXPECT_EQ(refusal(manifest_with("/disks/0/id", "../x")),
            "m.json: disks[0].id: \"../x\" is not allowed; allowed: letters, digits, '_' and '-' "
            "(^[a-zA-Z0-9_-]+$)");
}

TEST(Disks, AnIdIsUsedOnceAndNumbersMayHaveGaps) {
  json document = small_manifest();
  json second = document["disks"][0];
  document["disks"].push_back(second);
  EXPECT_EQ(
      refusal(document),
      "m.json: disks[1].id: \"disk-0\" is the id of another disk too. Give each disk an id of its own.");
  document["disks"][1]["id"] = "disk-7";
  EXPECT_EQ(manifest_of(document).disks.size(), 2u);
}

TEST(Disks, EverySourceFormatIsRead) {
  for (const char* word : {"vmdk", "qcow2", "raw", "vhd", "vhdx", "vdi"})
    EXPECT_EQ(to_string(manifest_of(manifest_with("/disks/0/source_format", word)).disks[0].source_format),
              word);
  EXPECT_EQ(refusal(manifest_with("/disks/0/source_format", "vmdk2")),
            "m.json: disks[0].source_format: \"vmdk2\" is not allowed; allowed: vmdk, qcow2, raw, vhd, vhdx, "
            "vdi");
  EXPECT_THAT(refusal(manifest_with("/disks/0/source_format", "VMDK")), HasSubstr("\"VMDK\" is not allowed"));
}

TEST(Disks, BytesIsAPositiveWholeNumber) {
  EXPECT_EQ(manifest_of(manifest_with("/disks/0/bytes", INT64_MAX)).disks[0].bytes, std::uint64_t{INT64_MAX});
  EXPECT_EQ(manifest_of(manifest_with("/disks/0/bytes", 4096.0)).disks[0].bytes, 4096u);
  for (const json& value :
       {json(0), json(-1), json(1.5), json("4096"), json(true), json(UINT64_MAX), json(1e30)})
    EXPECT_THAT(refusal(manifest_with("/disks/0/bytes", value)),
                HasSubstr("disks[0].bytes: " + value.dump() + " is not allowed; allowed: a whole number"))
        << value;
}

TEST(Disks, AChecksumIsSha256InLowerCase) {
  std::string digits(64, 'a');
  EXPECT_EQ(manifest_of(manifest_with("/disks/0/checksum", "sha256:" + digits)).disks[0].sha256, digits);
  for (const std::string& value :
       {std::string(""), digits, "sha256:" + std::string(64, 'A'), "sha256:" + std::string(63, 'a'),
        "md5:" + digits, "sha256:" + std::string(64, 'g')})
    EXPECT_THAT(refusal(manifest_with("/disks/0/checksum", value)),
                HasSubstr("is not allowed; allowed: \"sha256:\" and 64 lower-case hexadecimal digits"))
        << value;
}

TEST(Disks, ABootDiskWithoutAHintBootsFirst) {
  json document = manifest_with("/disks/0/disk_type", "boot");
  EXPECT_EQ(manifest_of(document).disks[0].boot_order_hint, 0);
  document["disks"][0]["boot_order_hint"] = 5;
  EXPECT_EQ(manifest_of(document).disks[0].boot_order_hint, 5);
  document["disks"][0]["disk_type"] = "data";
  document["disks"][0].erase("boot_order_hint");
  EXPECT_EQ(manifest_of(document).disks[0].boot_order_hint, 999);
}

TEST(Disks, AHintIsAWholeNumberThatIsNotNegative) {
  for (const json& value : {json(-1), json(0.5), json("0"), json(2147483648u)})
    EXPECT_THAT(refusal(manifest_with("/disks/0/boot_order_hint", value)),
                HasSubstr("disks[0].boot_order_hint"));
  EXPECT_EQ(manifest_of(manifest_with("/disks/0/boot_order_hint", 0)).disks[0].boot_order_hint, 0);
}

TEST(Disks, TheLowestHintBootsAndTiesGoByOrder) {
  auto boots = [](std::vector<int> hints) {
    Manifest manifest;
    for (int hint : hints) {
      Disk disk;
      disk.boot_order_hint = hint;
      manifest.disks.push_back(disk);
    }
    return manifest.boot_disk();
  };
  EXPECT_EQ(boots({999}), 0u);
  EXPECT_EQ(boots({999, 999}), 0u);
  EXPECT_EQ(boots({999, 1, 0}), 2u);
  EXPECT_EQ(boots({3, 1, 1}), 1u);
}

TEST(Disks, LabelAndTypeAreRead) {
  json document = manifest_with("/disks/0/label", "Hard disk 1");
  document["disks"][0]["disk_type"] = "data";
  EXPECT_EQ(manifest_of(document).disks[0].label, "Hard disk 1");
  EXPECT_EQ(manifest_of(document).disks[0].disk_type, DiskType::kData);
  EXPECT_EQ(manifest_of(manifest_with("/disks/0/disk_type", "unknown")).disks[0].disk_type,
            DiskType::kUnknown);
  EXPECT_EQ(refusal(manifest_with("/disks/0/disk_type", "floppy")),
            "m.json: disks[0].disk_type: \"floppy\" is not allowed; allowed: boot, data, unknown");
}

TEST(Disks, APathHasNoControlCharactersAndIsNotEmpty) {
  EXPECT_THAT(refusal(manifest_with("/disks/0/local_path", "")), HasSubstr("is empty"));
  EXPECT_THAT(refusal(manifest_with("/disks/0/local_path", std::string("a\0b", 3))), HasSubstr("\"a b\""));
  EXPECT_THAT(refusal(manifest_with("/disks/0/local_path", std::string(5000, 'a'))),
              HasSubstr("at most 4096"));
}

TEST(Disks, ThereAreAtMost256) {
  json document = small_manifest();
  for (int i = 1; i <= 256; ++i) {
    json disk = document["disks"][0];
    disk["id"] = "more-" + std::to_string(i);
    document["disks"].push_back(disk);
  }
  EXPECT_EQ(refusal(document), "m.json: disks: has 257 items; allowed: at most 256");
  document["disks"].erase(256);
  EXPECT_EQ(manifest_of(document).disks.size(), 256u);
}

}  // namespace
}  // namespace hyper2kvm::contract
