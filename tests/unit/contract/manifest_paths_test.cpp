// output, options, and where things lie.
#include <gmock/gmock.h>

#include <filesystem>

#include "tests/unit/contract/documents.h"

namespace hyper2kvm::contract {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Output, IsQcow2BesideTheManifestWhereNothingIsSaid) {
  ParsedManifest result = parsed(small_manifest());
  EXPECT_EQ(result.manifest.output.format, OutputFormat::kQcow2);
  EXPECT_EQ(result.manifest.output.filename, std::nullopt);
  result.path = "/exports/web01/m.json";
  EXPECT_EQ(output_directory(result), "/exports/web01/output");
}

TEST(Output, ADirectoryIsRelativeToTheManifestOrAbsolute) {
  ParsedManifest result = parsed(manifest_with("/output/directory", "../done"));
  result.path = "/exports/web01/m.json";
  EXPECT_EQ(output_directory(result), "/exports/done");
  result.manifest.output.directory = "/var/lib/machines";
  EXPECT_EQ(output_directory(result), "/var/lib/machines");
}

TEST(Output, WithoutADocumentPathsStartAtTheCurrentDirectory) {
  ParsedManifest result = parsed(small_manifest());
  EXPECT_EQ(output_directory(result), std::filesystem::current_path() / "output");
  EXPECT_EQ(resolve_path("", "a/./b.vmdk"), std::filesystem::current_path() / "a/b.vmdk");
}

TEST(Paths, OfDisksAreAbsoluteOrBesideTheManifest) {
  EXPECT_EQ(resolve_path("/x/m.json", "disk.vmdk"), "/x/disk.vmdk");
  EXPECT_EQ(resolve_path("/x/m.json", "../y/disk.vmdk"), "/y/disk.vmdk");
  EXPECT_EQ(resolve_path("/x/m.json", "/z/disk.vmdk"), "/z/disk.vmdk");
}

TEST(Output, EveryFormatIsRead) {
  for (const char* word : {"qcow2", "raw", "vdi"}) {
    Manifest manifest = manifest_of(manifest_with("/output/format", word));
    EXPECT_EQ(to_string(manifest.output.format), word);
    EXPECT_EQ(published_name(manifest, 0), std::string("disk-0.") + word);
  }
  EXPECT_EQ(refusal(manifest_with("/output/format", "vmdk")),
            "m.json: output.format: \"vmdk\" is not allowed; allowed: qcow2, raw, vdi");
}

TEST(Output, AFileNameIsPlain) {
  Manifest manifest = manifest_of(manifest_with("/output/filename", "web 01.img"));
  EXPECT_EQ(published_name(manifest, 0), "web 01.img");
  EXPECT_EQ(published_name(manifest_of(manifest_with("/output/filename", "")), 0), "disk-0.qcow2");
  for (const char* name : {"a/b", "/a", "..", ".", "../a", "a\tb"})
    EXPECT_THAT(refusal(manifest_with("/output/filename", name)), HasSubstr("output.filename: ")) << name;
  EXPECT_THAT(refusal(manifest_with("/output/filename", std::string(256, 'a'))), HasSubstr("at most 255"));
}

TEST(Output, AFileNameIsForAMachineWithOneDisk) {
  json document = manifest_with("/output/filename", "web.qcow2");
  document["disks"].push_back(document["disks"][0]);
  document["disks"][1]["id"] = "disk-1";
  ParsedManifest result = parsed(document);
  EXPECT_THAT(result.warnings,
              ElementsAre("output.filename: ignored, because the machine has 2 disks; they are "
                          "named after their ids"));
  EXPECT_EQ(published_name(result.manifest, 0), "disk-0.qcow2");
  EXPECT_EQ(published_name(result.manifest, 1), "disk-1.qcow2");
}

TEST(Output, ADiskMayGoToABlockDevice) {
  json document = manifest_with("/output", {{"format", "raw"}, {"devices", {{"disk-0", "/dev/vdb"}}}});
  Manifest manifest = manifest_of(document);
  EXPECT_EQ(manifest.output.devices, (std::map<std::string, std::string>{{"disk-0", "/dev/vdb"}}));
  EXPECT_EQ(manifest_of(to_json(manifest)).output.devices, manifest.output.devices);
  document["output"]["devices"] = {{"disk-1", "/dev/vdb"}};
  EXPECT_THAT(refusal(document), HasSubstr("output.devices: \"disk-1\" is the id of no disk"));
  document["output"] = {{"devices", {{"disk-0", "/dev/vdb"}}}};
  EXPECT_THAT(refusal(document), HasSubstr("set output.format to raw"));
  document["output"] = {{"format", "raw"}, {"devices", {{"disk-0", "vdb"}}}};
  EXPECT_THAT(refusal(document), HasSubstr("output.devices[\"disk-0\"]"));
}

TEST(Output, ADiskMayGoToAFileOfItsOwn) {
  json document = manifest_with("/output", {{"files", {{"disk-0", "/volumes/a/disk.img"}}}});
  Manifest manifest = manifest_of(document);
  EXPECT_EQ(manifest.output.files, (std::map<std::string, std::string>{{"disk-0", "/volumes/a/disk.img"}}));
  EXPECT_EQ(manifest_of(to_json(manifest)).output.files, manifest.output.files);
  document["output"] = {
      {"format", "raw"}, {"files", {{"disk-0", "/a/disk.img"}}}, {"devices", {{"disk-0", "/dev/vdb"}}}};
  EXPECT_THAT(refusal(document), HasSubstr("\"disk-0\" has a place in output.devices too"));
  document["output"] = {{"files", {{"disk-1", "/a/disk.img"}}}};
  EXPECT_THAT(refusal(document), HasSubstr("output.files: \"disk-1\" is the id of no disk"));
  document["output"] = {{"files", {{"disk-0", "a/disk.img"}}}};
  EXPECT_THAT(refusal(document), HasSubstr("output.files[\"disk-0\"]"));
}

TEST(Output, AReportMayHaveTheNameThatADiskOnADeviceDoesNotUse) {
  json document = manifest_with("/options/report/path", "disk-0.raw");
  document["output"] = {{"format", "raw"}};
  EXPECT_THAT(refusal(document), HasSubstr("options.report.path"));
  document["output"]["devices"] = {{"disk-0", "/dev/vdb"}};
  EXPECT_EQ(refusal(document), "(accepted)");
}

TEST(Options, HaveDefaults) {
  Options options = manifest_of(small_manifest()).options;
  EXPECT_FALSE(options.dry_run);
  EXPECT_EQ(options.verbose, 0);
  EXPECT_TRUE(options.report_enabled);
  EXPECT_EQ(options.report_path, "report.json");
}

TEST(Options, AreRead) {
  json document = small_manifest();
  document["options"] = {
      {"dry_run", true}, {"verbose", 3}, {"report", {{"enabled", false}, {"path", "a/r.json"}}}};
  Options options = manifest_of(document).options;
  EXPECT_TRUE(options.dry_run);
  EXPECT_EQ(options.verbose, 3);
  EXPECT_FALSE(options.report_enabled);
  EXPECT_EQ(options.report_path, "a/r.json");
  EXPECT_THAT(refusal(manifest_with("/options/verbose", 4)), HasSubstr("options.verbose: 4 is not allowed"));
  EXPECT_THAT(refusal(manifest_with("/options/verbose", -1)), HasSubstr("a whole number from 0 to 3"));
  EXPECT_THAT(refusal(manifest_with("/options/dry_run", 1)), HasSubstr("options.dry_run: 1 is not allowed"));
  EXPECT_THAT(refusal(manifest_with("/options/report/enabled", "on")), HasSubstr("options.report.enabled"));
}

TEST(Options, TheReportStaysInTheOutputDirectory) {
  for (const char* path : {"../r.json", "/r.json", "a/../../r.json", "a/", "a/..", ".", "a/."})
    EXPECT_THAT(refusal(manifest_with("/options/report/path", path)), HasSubstr("options.report.path: "))
        << path;
  EXPECT_EQ(manifest_of(manifest_with("/options/report/path", "..r.json")).options.report_path, "..r.json");
}

TEST(Options, TheReportIsNotWrittenOverADisk) {
  EXPECT_EQ(
      refusal(manifest_with("/options/report/path", "./disk-0.qcow2")),
      "m.json: options.report.path: \"disk-0.qcow2\" is the name of the converted disk disk-0 too. Give the "
      "report another name.");
  EXPECT_THAT(refusal(manifest_with("/output/filename", "report.json")), HasSubstr("options.report.path"));
}

}  // namespace
}  // namespace hyper2kvm::contract
