// source, vm, nics, notes, warnings, metadata, and what happens with keys that nobody knows.
#include <gmock/gmock.h>

#include "tests/unit/contract/documents.h"

namespace hyper2kvm::contract {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Source, IsFreeTextButForTheTimestamp) {
  json source = {{"provider", "vsphere"},      {"vm_id", "vm-1234"},
                 {"vm_name", "web01 <&>"},     {"datacenter", "DC1"},
                 {"export_method", "ovftool"}, {"export_timestamp", "2026-01-21T20:00:00.123456789+01:00"}};
  ParsedManifest result = parsed(manifest_with("/source", source));
  const Source& read = result.manifest.source;
  EXPECT_EQ(read.provider, "vsphere");
  EXPECT_EQ(read.vm_id, "vm-1234");
  EXPECT_EQ(read.vm_name, "web01 <&>");
  EXPECT_EQ(read.datacenter, "DC1");
  EXPECT_EQ(read.export_method, "ovftool");
  EXPECT_EQ(read.export_timestamp, "2026-01-21T20:00:00.123456789+01:00");
  EXPECT_THAT(result.warnings, IsEmpty());
  EXPECT_EQ(refusal(manifest_with("/source/export_timestamp", "yesterday")),
            "m.json: source.export_timestamp: \"yesterday\" is not allowed; allowed: a time as in RFC 3339, "
            "such as \"2026-01-31T23:59:59Z\"");
  EXPECT_THAT(refusal(manifest_with("/source/vm_name", 7)), HasSubstr("source.vm_name: 7 is not allowed"));
  EXPECT_THAT(refusal(manifest_with("/source/vm_name", "a\nb")), HasSubstr("\"a b\" is not allowed"));
  EXPECT_THAT(refusal(manifest_with("/source", json::array())), HasSubstr("source: a list is not allowed"));
}

TEST(Vm, IsReadAndItsNumbersStartAtOne) {
  json vm = {{"cpu", 4},           {"mem_gb", 8},
             {"firmware", "bios"}, {"secureboot", false},
             {"os_hint", "linux"}, {"os_version", "debian12_64Guest"}};
  Vm read = manifest_of(manifest_with("/vm", vm)).vm;
  EXPECT_EQ(read.cpu, 4u);
  EXPECT_EQ(read.mem_gb, 8u);
  EXPECT_EQ(read.firmware, Firmware::kBios);
  EXPECT_FALSE(read.secureboot);
  EXPECT_EQ(read.os_hint, OsHint::kLinux);
  EXPECT_EQ(read.os_version, "debian12_64Guest");
  for (const char* key : {"cpu", "mem_gb"})
    for (const json& value : {json(0), json(-1), json(1.5), json("2"), json(10'000'000)})
      EXPECT_THAT(refusal(manifest_with(std::string("/vm/") + key, value)),
                  HasSubstr(std::string("vm.") + key + ": " + value.dump() + " is not allowed"));
  EXPECT_EQ(refusal(manifest_with("/vm/cpu", 0)),
            "m.json: vm.cpu: 0 is not allowed; allowed: a whole number from 1 to 4096");
}

TEST(Vm, IsUnknownWhereNothingIsSaid) {
  Vm read = manifest_of(small_manifest()).vm;
  EXPECT_EQ(read.cpu, std::nullopt);
  EXPECT_EQ(read.mem_gb, std::nullopt);
  EXPECT_EQ(read.firmware, Firmware::kUnknown);
  EXPECT_EQ(read.os_hint, OsHint::kUnknown);
}

TEST(Vm, EfiIsUefi) {
  EXPECT_EQ(manifest_of(manifest_with("/vm/firmware", "efi")).vm.firmware, Firmware::kUefi);
  EXPECT_EQ(manifest_of(manifest_with("/vm/firmware", "uefi")).vm.firmware, Firmware::kUefi);
  EXPECT_EQ(manifest_of(manifest_with("/vm/firmware", "unknown")).vm.firmware, Firmware::kUnknown);
  EXPECT_EQ(to_string(Firmware::kUefi), "uefi");
  EXPECT_EQ(refusal(manifest_with("/vm/firmware", "coreboot")),
            "m.json: vm.firmware: \"coreboot\" is not allowed; allowed: bios, uefi, unknown");
}

TEST(Vm, EveryHintIsRead) {
  for (const char* word : {"linux", "windows", "unknown"})
    EXPECT_EQ(to_string(manifest_of(manifest_with("/vm/os_hint", word)).vm.os_hint), word);
  EXPECT_THAT(refusal(manifest_with("/vm/os_hint", "rhel9")), HasSubstr("allowed: linux, windows, unknown"));
  EXPECT_THAT(refusal(manifest_with("/vm/secureboot", "yes")), HasSubstr("allowed: true, false"));
}

TEST(Vm, SecureBootOnBiosIsPointedOut) {
  json document = manifest_with("/vm/secureboot", true);
  EXPECT_THAT(parsed(document).warnings, IsEmpty());
  document["vm"]["firmware"] = "bios";
  EXPECT_THAT(parsed(document).warnings,
              ElementsAre("vm.secureboot: true has no meaning with the firmware bios"));
}

TEST(Nics, MacsAreWrittenOneWay) {
  json nics = {{{"id", "eth0"}, {"mac", "00-50-56-AB-CD-EF"}, {"network", "VM Network"}},
               {{"mac", "00:50:56:ab:cd:f0"}},
               {{"mac", ""}},
               json::object()};
  auto read = manifest_of(manifest_with("/nics", nics)).nics;
  ASSERT_EQ(read.size(), 4u);
  EXPECT_EQ(read[0].id, "eth0");
  EXPECT_EQ(read[0].mac, "00:50:56:ab:cd:ef");
  EXPECT_EQ(read[0].network, "VM Network");
  EXPECT_EQ(read[1].mac, "00:50:56:ab:cd:f0");
  EXPECT_EQ(read[2].mac, "");
  EXPECT_EQ(read[3].mac, "");
}

TEST(Nics, WhatIsNoMacIsRefused) {
  for (const char* mac : {"00:50:56:ab:cd", "00:50:56:ab:cd:eg", "00:50-56:ab:cd:ef", "005056abcdef",
                          "01:50:56:ab:cd:ef", "ff:ff:ff:ff:ff:ff", "00:50:56:ab:cd:ef "})
    EXPECT_EQ(refusal(manifest_with("/nics", {{{"mac", mac}}})),
              "m.json: nics[0].mac: \"" + std::string(mac) +
                  "\" is not allowed; allowed: the address of one interface, such as \"00:50:56:ab:cd:ef\"");
}

TEST(Nics, TheSameMacTwiceIsPointedOut) {
  json nics = {{{"mac", "00:50:56:ab:cd:ef"}}, {{"mac", "00-50-56-AB-CD-EF"}}};
  EXPECT_THAT(parsed(manifest_with("/nics", nics)).warnings,
              ElementsAre("nics[1].mac: the same as of nics[0]"));
}

TEST(Notes, AreTextOfAnyShape) {
  json document = manifest_with("/notes", {"one", "two\nlines"});
  EXPECT_THAT(manifest_of(document).notes, ElementsAre("one", "two lines"));
  EXPECT_THAT(refusal(manifest_with("/notes", "one")), HasSubstr("notes: \"one\" is not allowed"));
  EXPECT_THAT(refusal(manifest_with("/notes", {{{"a", 1}}})),
              HasSubstr("notes[0]: an object is not allowed"));
}

TEST(ManifestWarnings, AreTextOrTheObjectsThatHyperexportWrites) {
  json document = manifest_with(
      "/warnings",
      {"plain",
       {{"stage", "export"}, {"message", "CD-ROM left out"}, {"timestamp", "2026-01-21T20:00:00Z"}}});
  EXPECT_THAT(manifest_of(document).warnings, ElementsAre("plain", "export: CD-ROM left out"));
  EXPECT_EQ(refusal(manifest_with("/warnings", {{{"stage", "export"}}})),
            "m.json: warnings[0].message: is missing and must be there");
  EXPECT_THAT(refusal(manifest_with("/warnings", {{{"message", "a"}, {"timestamp", "now"}}})),
              HasSubstr("warnings[0].timestamp"));
}

TEST(Metadata, IsTakenAsItIs) {
  json metadata = {{"hypersdk_version", "0.1.0"},
                   {"job_id", "job-1"},
                   {"created_at", "2026-01-21T20:00:00Z"},
                   {"tags", {{"a", "b"}}},
                   {"anything", {1, 2, {{"deep", true}}}}};
  EXPECT_THAT(parsed(manifest_with("/metadata", metadata)).warnings, IsEmpty());
  EXPECT_THAT(parsed(manifest_with("/metadata", "text")).warnings,
              ElementsAre("metadata: \"text\" is not an object, ignored"));
}

TEST(UnknownKeys, WarnWithTheirPathAtAnyDepth) {
  json document = small_manifest();
  document["colour"] = "blue";
  document["pipeline"]["fix"] = {{"enabled", true}, {"bakup", false}};
  document["disks"][0]["size"] = 1;
  document["options"]["report"]["format"] = "xml";
  document["nics"] = {{{"speed", 1}}};
  ParsedManifest result = parsed(document);
  EXPECT_THAT(result.warnings,
              ::testing::UnorderedElementsAre(
                  "colour: unknown key, ignored", "pipeline.fix.bakup: unknown key, ignored",
                  "disks[0].size: unknown key, ignored", "nics[0].speed: unknown key, ignored",
                  "options.report.format: unknown key, ignored"));
  EXPECT_TRUE(result.manifest.pipeline.fix.backup);
}

TEST(UnknownKeys, AreShownWithoutTheirControlCharactersAndShort) {
  json document = small_manifest();
  document["a\x1b[31m"] = 1;
  document[std::string(5000, 'x')] = 1;
  auto warnings = parsed(document).warnings;
  ASSERT_EQ(warnings.size(), 2u);
  EXPECT_EQ(warnings[0], "a [31m: unknown key, ignored");
  EXPECT_LT(warnings[1].size(), 200u);
}

TEST(UnknownKeys, ThereIsAnEndToTheirWarnings) {
  json document = small_manifest();
  for (int i = 0; i < 1000; ++i) document["key" + std::to_string(i)] = i;
  auto warnings = parsed(document).warnings;
  EXPECT_EQ(warnings.size(), 100u);
  EXPECT_EQ(warnings.back(), "more warnings of the same sort are left out");
}

TEST(Null, IsTheSameAsAbsent) {
  json document = small_manifest();
  for (const char* key : {"source", "vm", "nics", "notes", "warnings", "metadata", "pipeline",
                          "configuration", "output", "options", "libvirt"})
    document[key] = nullptr;
  document["disks"][0]["checksum"] = nullptr;
  ParsedManifest result = parsed(document);
  EXPECT_THAT(result.warnings, IsEmpty());
  EXPECT_EQ(to_json(result.manifest), to_json(manifest_of(small_manifest())));
}

}  // namespace
}  // namespace hyper2kvm::contract
