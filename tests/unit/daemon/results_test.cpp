#include "runner/daemon/results.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::daemon {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ResultsTest : public ::testing::Test {
 protected:
  ResultsTest() {
    job.id = "20260131-235959-123456-7f";
    job.result_name = "web";
    job.format = "qcow2";
    job.output_path = (out() / "machines/web/disk-0.qcow2").string();
    fs::create_directories(out() / "machines/web");
    put(job.output_path, "image");
  }
  fs::path out() const { return directory.path(); }
  static void put(const fs::path& path, const std::string& text) { os::write_text_atomically(path, text); }
  void report(bool success, const std::string& manifest) {
    job.report_path = (out() / "machines/web/report.json").string();
    nlohmann::json document = {{"input_manifest", {{"path", manifest}}},
                               {"pipeline", {{"success", success}, {"duration_seconds", 2.5}}},
                               {"warnings", {{{"message", "careful"}}}},
                               {"errors", nlohmann::json::array()},
                               {"artifacts", nlohmann::json::array()}};
    if (success)
      document["artifacts"] = {{{"path", out() / "machines/web/disk-0.qcow2"}, {"boot_order_hint", 0}}};
    else
      document["errors"] = {{{"message", "it broke"}}};
    put(job.report_path, document.dump());
  }
  os::TemporaryDirectory directory{"results-test"};
  Job job;
};

TEST_F(ResultsTest, TheResultIsASecondNameOfTheImageAndMayBePublishedAgain) {
  publish_result(out(), job);
  EXPECT_TRUE(os::same_file(out() / "web.qcow2", job.output_path));
  EXPECT_FALSE(fs::is_symlink(out() / "web.qcow2"));
  publish_result(out(), job);
  EXPECT_EQ(fs::hard_link_count(job.output_path), 2u);
  for (const auto& entry : fs::directory_iterator(out()))
    EXPECT_THAT(entry.path().filename().string(), ::testing::Not(::testing::StartsWith(".")));
}

TEST_F(ResultsTest, AnotherFormatIsALinkThatSaysSo) {
  job.format = "raw";
  publish_result(out(), job);
  EXPECT_EQ(fs::read_symlink(out() / "web.qcow2"), "machines/web/disk-0.qcow2");
}

TEST_F(ResultsTest, AnOldResultIsReplacedInOneStep) {
  put(out() / "web.qcow2", "old");
  put(out() / "web.error", "old trouble");
  publish_result(out(), job);
  EXPECT_EQ(os::read_text(out() / "web.qcow2", 100), "image");
  EXPECT_FALSE(fs::exists(out() / "web.error"));
}

TEST_F(ResultsTest, StaleNamesGoBeforeAJobBegins) {
  publish_result(out(), job);
  put(out() / "web.error", "old trouble");
  EXPECT_EQ(remove_stale_results(out(), job), std::nullopt);
  EXPECT_FALSE(fs::exists(out() / "web.qcow2"));
  EXPECT_FALSE(fs::exists(out() / "web.error"));
  EXPECT_TRUE(fs::exists(job.output_path));
  EXPECT_EQ(remove_stale_results(out(), job), std::nullopt) << "it may be repeated";
}

TEST_F(ResultsTest, TheLastNameOfAnImageIsKeptUnderAnother) {
  put(out() / "web.qcow2", "the only copy");
  auto kept = remove_stale_results(out(), job);
  ASSERT_TRUE(kept);
  EXPECT_EQ(os::read_text(*kept, 100), "the only copy");
  EXPECT_FALSE(fs::exists(out() / "web.qcow2"));
}

TEST_F(ResultsTest, AFailureIsOneReadableMessage) {
  job.error = "disk-0: the export is damaged. Export it again.";
  publish_failure(out(), job);
  EXPECT_EQ(os::read_text(out() / "web.error", 1000), job.error + "\n");
  remove_failure(out(), job);
  EXPECT_FALSE(fs::exists(out() / "web.error"));
}

TEST_F(ResultsTest, AForgottenFailureTakesItsOwnTracesAndNobodyElses) {
  job.error = "mine";
  publish_failure(out(), job);
  fs::remove(job.output_path);
  report(false, "/q/mine.json");
  remove_traces_of_failure(out(), job, "/q/mine.json");
  EXPECT_FALSE(fs::exists(out() / "web.error"));
  EXPECT_FALSE(fs::exists(out() / "machines/web"));

  fs::create_directories(out() / "machines/web");
  put(out() / "web.error", "of a newer job\n");
  report(true, "/q/newer.json");
  remove_traces_of_failure(out(), job, "/q/mine.json");
  EXPECT_TRUE(fs::exists(out() / "web.error"));
  EXPECT_TRUE(fs::exists(job.report_path));
}

TEST_F(ResultsTest, AVerdictIsOnlyThatOfThisJob) {
  report(true, "/q/mine.json");
  auto verdict = read_verdict(job.report_path, "/q/mine.json");
  ASSERT_TRUE(verdict);
  EXPECT_TRUE(verdict->success);
  EXPECT_EQ(verdict->boot_disk, job.output_path);
  EXPECT_EQ(verdict->duration_seconds, 2.5);
  EXPECT_THAT(verdict->warnings, ::testing::ElementsAre("careful"));
  EXPECT_FALSE(read_verdict(job.report_path, "/q/other.json"));
}

TEST_F(ResultsTest, ASuccessWhoseImageIsGoneIsNone) {
  report(true, "/q/mine.json");
  fs::remove(job.output_path);
  EXPECT_FALSE(read_verdict(job.report_path, "/q/mine.json"));
}

TEST_F(ResultsTest, AReportThatIsAbsentOrDamagedIsNoVerdict) {
  EXPECT_FALSE(read_verdict(out() / "none.json", "/q"));
  put(out() / "half.json", "{\"pipeline\": {");
  EXPECT_FALSE(read_verdict(out() / "half.json", "/q"));
  put(out() / "other.json", "[1, 2]");
  EXPECT_FALSE(read_verdict(out() / "other.json", "/q"));
}

TEST_F(ResultsTest, SourcesAreRemovedOnlyWhereNobodyNeedsThem) {
  os::TemporaryDirectory exports("results-exports");
  fs::path a = exports.path() / "a", b = exports.path() / "b", c = exports.path() / "c";
  put(a, "");
  put(b, "");
  fs::create_symlink(a, c);
  job.disks = {a.string(), b.string(), c.string(), job.output_path, "/nowhere/x"};
  auto kept = remove_sources(job, {b.string()}, out());
  EXPECT_FALSE(fs::exists(a));
  EXPECT_TRUE(fs::exists(b));
  EXPECT_TRUE(fs::is_symlink(c));
  EXPECT_TRUE(fs::exists(job.output_path));
  EXPECT_THAT(kept, ::testing::ElementsAre(HasSubstr("another job needs it"), HasSubstr("no plain file"),
                                           HasSubstr("in OUTPUT_DIR")));
}

TEST(HiddenDisk, ConfinementIsNamedWithWhatToChange) {
  EXPECT_THAT(hidden_disk("/tmp/no-such-export/disk.vmdk").value(), HasSubstr("PrivateTmp"));
  EXPECT_THAT(hidden_disk("/home/nobody-here/disk.vmdk").value(), HasSubstr("ProtectHome"));
  EXPECT_EQ(hidden_disk("/srv/no-such-export/disk.vmdk"), std::nullopt);
  EXPECT_EQ(hidden_disk("/etc/passwd"), std::nullopt);
}

}  // namespace
}  // namespace hyper2kvm::daemon
