#include <gmock/gmock.h>

#include "runner/os/file.h"
#include "tests/unit/contract/documents.h"

namespace hyper2kvm::contract {
namespace {

using os::ErrorKind;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(ManifestVersion, OneDotAnythingIsRead) {
  for (const char* version : {"1.0", "1.1", "1.27", "1.0.3"})
    EXPECT_EQ(manifest_of(manifest_with("/manifest_version", version)).manifest_version, version);
}

TEST(ManifestVersion, AnotherMajorVersionIsUnreadable) {
  for (const char* version : {"2.0", "0.9", "1", "10.0", "1.", "1.x", "", "1.0.0.0"}) {
    Refusal refused = refusal_of_text(manifest_with("/manifest_version", version).dump());
    EXPECT_EQ(refused.kind, ErrorKind::kUnreadable) << version;
    EXPECT_THAT(refused.sentence, HasSubstr("manifest_version")) << version;
  }
  EXPECT_EQ(
      refusal(manifest_with("/manifest_version", "2.0")),
      "m.json: manifest_version: \"2.0\" is not allowed; allowed: \"1.0\". This hyper2kvm reads version 1 "
      "of the Artifact Manifest.");
}

TEST(ManifestVersion, ANumberInJsonIsRefusedAndInYamlIsText) {
  EXPECT_THAT(refusal(manifest_with("/manifest_version", 1.0)), HasSubstr("1.0 is not allowed"));
  Manifest manifest = parse_manifest(
                          "manifest_version: 1.0\n"
                          "disks: [{id: 0, source_format: raw, bytes: 512, local_path: a.img}]\n",
                          "m.yaml")
                          .manifest;
  EXPECT_EQ(manifest.manifest_version, "1.0");
  EXPECT_EQ(manifest.disks[0].id, "0");
}

TEST(ManifestVersion, WhatIsNoManifestIsUnreadable) {
  for (const char* text : {R"({"test": true})", "[1, 2]", "just words", "", "   \n", "{", "\"text\"", "42",
                           "null", "---\n...\n"}) {
    Refusal refused = refusal_of_text(text);
    EXPECT_EQ(refused.kind, ErrorKind::kUnreadable) << text << ": " << refused.sentence;
    EXPECT_THAT(refused.sentence, StartsWith("m.json: ")) << text;
  }
  EXPECT_EQ(
      refusal_of_text(R"({"test": true})").sentence,
      "m.json: has no manifest_version, so it is no Artifact Manifest. An Artifact Manifest is an object "
      "with manifest_version \"1.0\" and a list of disks.");
}

TEST(LoadManifest, ReadsAFileAndRemembersItsAbsolutePath) {
  os::TemporaryDirectory directory("manifest-test");
  auto path = directory.path() / "m.json";
  os::write_text_atomically(path, small_manifest().dump());
  EXPECT_EQ(load_manifest(path).path, path);
  EXPECT_EQ(load_manifest(directory.path() / "." / "m.json").path, path);
}

TEST(LoadManifest, AMissingFileADirectoryAndAHugeFileAreUnreadable) {
  os::TemporaryDirectory directory("manifest-test");
  auto huge = directory.path() / "huge.json";
  os::File::open(huge, os::File::Mode::kCreate).truncate((16u << 20) + 1);
  for (const auto& path : {directory.path() / "none.json", directory.path(), huge}) {
    try {
      load_manifest(path);
      FAIL() << path;
    } catch (const os::Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUnreadable) << error.sentence();
      EXPECT_EQ(error.exit_status(), 2);
      EXPECT_THAT(error.sentence(), HasSubstr(path.string()));
    }
  }
}

}  // namespace
}  // namespace hyper2kvm::contract
