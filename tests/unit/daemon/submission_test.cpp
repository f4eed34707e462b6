#include "runner/daemon/submission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "manifests.h"
#include "runner/os/file.h"

namespace hyper2kvm::daemon {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr Writer kWriting{.writing = true, .closed = false, .quiet = 0ms};
constexpr Writer kJustClosed{.writing = false, .closed = true, .quiet = 0ms};
constexpr Writer kLongQuiet{.writing = false, .closed = true, .quiet = 10s};

TEST(Submission, AManifestIsReadyOnlyWithItsLastBrace) {
  std::string text = manifest_text("web");
  for (std::size_t size = 0; size < text.size(); ++size)
    EXPECT_EQ(judge(text.substr(0, size), "/q/m.json", kJustClosed).readiness, Readiness::kNotYet) << size;
  EXPECT_EQ(judge(text, "/q/m.json", kJustClosed).readiness, Readiness::kReady);
  EXPECT_EQ(judge(text, "/q/m.json", kWriting).readiness, Readiness::kReady);
  EXPECT_EQ(judge(text + "\n", "/q/m.json", kWriting).readiness, Readiness::kReady);
}

TEST(Submission, JsonThatIsNoManifestIsRefusedAtOnceWithTheReason) {
  Submission submission = judge(R"({"test": true})", "/q/test.json", kJustClosed);
  EXPECT_EQ(submission.readiness, Readiness::kRefused);
  EXPECT_THAT(submission.reason, HasSubstr("manifest_version"));
  EXPECT_FALSE(submission.vm_name);
}

TEST(Submission, ARefusedManifestStillSaysWhoseItWas) {
  Submission submission =
      judge(R"({"manifest_version": "9.0", "source": {"vm_name": "web"}})", "/q/a.json", kJustClosed);
  EXPECT_EQ(submission.readiness, Readiness::kRefused);
  EXPECT_EQ(submission.vm_name, "web");
}

TEST(Submission, AHalfIsRefusedOnlyAfterALongSilence) {
  std::string half = manifest_text("web").substr(0, 40);
  EXPECT_EQ(judge(half, "/q/a.json", kLongQuiet).readiness, Readiness::kRefused);
  Writer holds_it_open{.writing = true, .closed = false, .quiet = 10min};
  EXPECT_EQ(judge(half, "/q/a.json", holds_it_open).readiness, Readiness::kNotYet);
  EXPECT_EQ(judge("", "/q/a.json", kJustClosed).readiness, Readiness::kNotYet);
}

TEST(Submission, YamlIsTakenWhenItsWriterHasBeenSilent) {
  std::string yaml =
      "manifest_version: '1.0'\ndisks:\n- {id: d, source_format: raw, bytes: 1, local_path: /a}\n";
  EXPECT_EQ(judge(yaml, "/q/a.yaml", kJustClosed).readiness, Readiness::kNotYet);
  EXPECT_EQ(judge(yaml, "/q/a.yaml", {.closed = true, .quiet = 2s}).readiness, Readiness::kReady);
  EXPECT_EQ(judge(yaml, "/q/a.yaml", {.writing = true, .quiet = 2s}).readiness, Readiness::kNotYet);
}

TEST(Submission, OnlyManifestNamesAreLookedAt) {
  for (const char* name : {"artifact-manifest.json", "a.yaml", "b c.yml"})
    EXPECT_TRUE(is_manifest_name(name));
  for (const char* name : {".a.json", ".json", "a.json.tmp", "disk.vmdk", ""})
    EXPECT_FALSE(is_manifest_name(name)) << name;
}

TEST(Submission, WhatIsNoFileIsRefusedOrLeftAlone) {
  os::TemporaryDirectory directory("submission-test");
  EXPECT_EQ(look(directory.path() / "none.json", kJustClosed).readiness, Readiness::kGone);
  std::filesystem::create_directory(directory.path() / "folder.json");
  EXPECT_EQ(look(directory.path() / "folder.json", kJustClosed).readiness, Readiness::kGone);
  std::filesystem::create_symlink("/etc/passwd", directory.path() / "link.json");
  EXPECT_THAT(look(directory.path() / "link.json", kJustClosed).reason, HasSubstr("symbolic link"));
  ASSERT_EQ(::mkfifo((directory.path() / "fifo.json").c_str(), 0644), 0);
  EXPECT_THAT(look(directory.path() / "fifo.json", kJustClosed).reason, HasSubstr("is not a file"));
}

TEST(Submission, AHugeFileIsRefusedWithoutReadingIt) {
  os::TemporaryDirectory directory("submission-test");
  os::File file = os::File::open(directory.path() / "huge.json", os::File::Mode::kCreate);
  file.truncate(1ull << 40);
  EXPECT_THAT(look(directory.path() / "huge.json", kJustClosed).reason, HasSubstr("longer than 16 MiB"));
}

}  // namespace
}  // namespace hyper2kvm::daemon
