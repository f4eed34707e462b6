#include "runner/daemon/claim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "manifests.h"
#include "runner/daemon/claim_sync.h"
#include "runner/daemon/schedule.h"
#include "runner/os/error.h"

namespace hyper2kvm::daemon {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class ClaimTest : public ::testing::Test {
 protected:
  // As hyperexport writes: in place, the same name every time.
  void write(const std::string& text) { std::ofstream(queue() / kName, std::ios::trunc) << text; }
  fs::path queue() const { return directory.path(); }
  Submission seen() { return look(queue() / kName, {.closed = true, .quiet = 0ms}); }
  std::vector<std::string> queued_files() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(queue()))
      if (is_manifest_name(entry.path().filename().string())) names.push_back(entry.path().filename());
    return names;
  }
  std::string text_of(const Job& job) { return os::read_text(journal.submitted_manifest(job.id), 1 << 20); }
  Jobs loaded() {
    std::vector<std::string> problems;
    auto jobs = journal.load(problems);
    EXPECT_THAT(problems, ::testing::IsEmpty());
    return jobs;
  }

  static constexpr const char* kName = "artifact-manifest.json";
  os::TemporaryDirectory directory{"claim-test"};
  Journal journal{directory.path()};
};

TEST_F(ClaimTest, AClaimedManifestLeavesTheQueueAndIsAJob) {
  write(manifest_text("web"));
  Job job = begin_claim(journal, kName, seen());
  EXPECT_EQ(settle_claim(journal, job), "");
  EXPECT_THAT(queued_files(), ::testing::IsEmpty());
  EXPECT_EQ(text_of(job), manifest_text("web"));
  EXPECT_EQ(loaded().at(job.id).vm_name, "web");
  EXPECT_EQ(loaded().at(job.id).disks, std::vector<std::string>{"/nowhere/disk.raw"});
}

TEST_F(ClaimTest, AManifestWrittenOverOneThatIsBeingClaimedIsASecondJob) {
  write(manifest_text("first"));
  Submission submission = seen();
  Job first = begin_claim(journal, kName, submission);
  write(manifest_text("other"));  // same length, same file
  std::string name = settle_claim(journal, first);
  // Overwritten before it was taken out: nothing of the first is left in the queue, the second stands there.
  EXPECT_EQ(text_of(first), manifest_text("first"));
  std::string second_name = name.empty() ? kName : name;
  EXPECT_EQ(os::read_text(queue() / second_name, 1 << 20), manifest_text("other"));
  Submission second = look(queue() / second_name, {.closed = true, .quiet = 0ms});
  Job job = begin_claim(journal, second_name, second);
  settle_claim(journal, job);
  EXPECT_EQ(loaded().size(), 2u);
  EXPECT_THAT(queued_files(), ::testing::IsEmpty());
}

TEST_F(ClaimTest, AWriterThatOpenedTheFileBeforeItMovedGetsItBack) {
  write(manifest_text("first"));
  Job first = begin_claim(journal, kName, seen());
  // The rename has happened, and then the other writer truncates and writes what it had opened.
  fs::rename(queue() / kName, journal.directory(first.id) / "submitted");
  std::ofstream(journal.directory(first.id) / "submitted", std::ios::trunc) << "{\"half\"";
  std::string name = settle_claim(journal, first);
  EXPECT_THAT(name, ::testing::MatchesRegex("artifact-manifest-.*\\.json"));
  EXPECT_EQ(os::read_text(queue() / name, 1 << 20), "{\"half\"");
  EXPECT_EQ(text_of(first), manifest_text("first"));
}

TEST_F(ClaimTest, ATakenManifestHasLeftTheQueueAndIsStillThere) {
  write(manifest_text("web"));
  Job job = begin_claim(journal, kName, seen());
  EXPECT_TRUE(is_in_queue(journal, job));
  EXPECT_TRUE(take_out(journal, job));
  EXPECT_THAT(queued_files(), ::testing::IsEmpty());
  EXPECT_EQ(os::read_text(journal.taken_file(job.id), 1 << 20), manifest_text("web"));
  EXPECT_FALSE(take_out(journal, job)) << "once";
  write(manifest_text("next"));
  EXPECT_FALSE(is_in_queue(journal, job));
  EXPECT_EQ(settle_claim(journal, job), "");
  EXPECT_FALSE(fs::exists(journal.taken_file(job.id)));
  EXPECT_EQ(queued_files().size(), 1u);
}

// What a power cut leaves of files that were written and not yet on the disk: their names.
TEST_F(ClaimTest, APowerCutBeforeTheCopyIsOnTheDiskPutsTheManifestBack) {
  for (const char* lost : {"job.json", "manifest"}) {
    write(manifest_text("web"));
    Job job = begin_claim(journal, kName, seen());
    take_out(journal, job);
    fs::resize_file(journal.directory(job.id) / lost, 0);
    EXPECT_THAT(loaded(), ::testing::IsEmpty()) << lost;
    EXPECT_FALSE(fs::exists(journal.directory(job.id)));
    ASSERT_EQ(queued_files().size(), 1u) << lost;
    EXPECT_EQ(os::read_text(queue() / queued_files()[0], 1 << 20), manifest_text("web"));
    fs::remove(queue() / queued_files()[0]);
  }
}

TEST_F(ClaimTest, APowerCutBeforeItWasTakenOutLeavesTheManifestInTheQueueAndNoJob) {
  for (const char* lost : {"job.json", "manifest"}) {
    write(manifest_text("web"));
    Job job = begin_claim(journal, kName, seen());
    fs::resize_file(journal.directory(job.id) / lost, 0);
    EXPECT_THAT(loaded(), ::testing::IsEmpty()) << lost;
    EXPECT_FALSE(fs::exists(journal.directory(job.id)));
    EXPECT_THAT(queued_files(), ::testing::ElementsAre(kName));
  }
}

TEST_F(ClaimTest, AJobThatIsDurableIsNotUndoneByAManifestThatComesLater) {
  write(manifest_text("web"));
  Job job = begin_claim(journal, kName, seen());
  make_claim_durable(journal, job.id);
  settle_claim(journal, job);
  write(manifest_text("next"));
  EXPECT_EQ(loaded().size(), 1u);
  EXPECT_EQ(queued_files().size(), 1u);
}

TEST_F(ClaimTest, ClaimsAreMadeDurableInTheOrderTheyCame) {
  std::vector<std::string> wanted, durable;
  {
    ClaimSync sync(journal);
    for (int i = 0; i < 100; ++i) {
      write(manifest_text("vm" + std::to_string(i)));
      Job job = begin_claim(journal, kName, seen());
      take_out(journal, job);
      wanted.push_back(job.id);
      sync.add(job.id);
    }
    while (durable.size() < wanted.size()) {
      pollfd polled{sync.descriptor(), POLLIN, 0};
      ASSERT_EQ(::poll(&polled, 1, 60000), 1);
      for (const ClaimSync::Outcome& outcome : sync.take_outcomes()) {
        EXPECT_EQ(outcome.error, "");
        durable.push_back(outcome.job);
      }
    }
  }
  EXPECT_EQ(durable, wanted);
}

TEST_F(ClaimTest, AClaimThatCannotBeMadeDurableIsToldAndHoldsUpNoOther) {
  struct NoSync : os::FaultHook {
    int before(Operation operation, const fs::path& path, std::uint64_t, std::size_t) override {
      return operation == Operation::kSync && path.string().find(bad) != std::string::npos ? EIO : 0;
    }
    std::string bad;
  } hook;
  std::vector<std::string> jobs;
  for (const char* name : {"bad", "good"}) {
    write(manifest_text(name));
    jobs.push_back(begin_claim(journal, kName, seen()).id);
  }
  hook.bad = jobs[0];
  os::set_fault_hook(&hook);
  std::vector<ClaimSync::Outcome> outcomes;
  {
    ClaimSync sync(journal);
    for (const std::string& job : jobs) sync.add(job);
    while (outcomes.size() < 2) {
      pollfd polled{sync.descriptor(), POLLIN, 0};
      ASSERT_EQ(::poll(&polled, 1, 60000), 1);
      for (const ClaimSync::Outcome& outcome : sync.take_outcomes()) outcomes.push_back(outcome);
    }
  }
  os::set_fault_hook(nullptr);
  EXPECT_THAT(outcomes[0].error, ::testing::HasSubstr("Input/output error"));
  EXPECT_EQ(outcomes[1].job, jobs[1]);
  EXPECT_EQ(outcomes[1].error, "");
}

TEST_F(ClaimTest, ACrashBeforeTheStateIsThereClaimsNothing) {
  write(manifest_text("web"));
  std::string id = journal.make_directory();
  os::write_text_atomically(journal.submitted_manifest(id), manifest_text("web"));
  EXPECT_THAT(loaded(), ::testing::IsEmpty());
  EXPECT_FALSE(fs::exists(journal.directory(id)));
  EXPECT_EQ(queued_files().size(), 1u);
}

TEST_F(ClaimTest, ACrashAfterTheStateIsThereMakesOneJobNotTwo) {
  write(manifest_text("web"));
  begin_claim(journal, kName, seen());
  Jobs jobs = loaded();
  ASSERT_EQ(jobs.size(), 1u);
  EXPECT_EQ(settle_claim(journal, jobs.begin()->second), "");
  EXPECT_EQ(settle_claim(journal, jobs.begin()->second), "") << "it may be repeated";
  EXPECT_THAT(queued_files(), ::testing::IsEmpty());
}

TEST_F(ClaimTest, ACrashAfterTheRenameFindsTheFileThere) {
  write(manifest_text("web"));
  Job job = begin_claim(journal, kName, seen());
  fs::rename(queue() / kName, journal.directory(job.id) / "submitted");
  EXPECT_EQ(settle_claim(journal, job), "");
  EXPECT_FALSE(fs::exists(journal.directory(job.id) / "submitted"));
}

TEST_F(ClaimTest, AFileThatWasReplacedMeanwhileIsNotTouched) {
  write(manifest_text("first"));
  Job job = begin_claim(journal, kName, seen());
  fs::remove(queue() / kName);
  write(manifest_text("second"));
  settle_claim(journal, job);
  ASSERT_EQ(queued_files().size(), 1u);
  EXPECT_EQ(os::read_text(queue() / queued_files()[0], 1 << 20), manifest_text("second"));
}

TEST_F(ClaimTest, RelativeDisksAreRelativeToTheQueue) {
  write(manifest_text("web", "exports/disk.raw"));
  Job job = begin_claim(journal, kName, seen());
  EXPECT_EQ(job.disks[0], (queue() / "exports/disk.raw").string());
}

TEST_F(ClaimTest, AQueueHasOneDaemon) { EXPECT_THROW(Journal second(directory.path()), os::Error); }

TEST_F(ClaimTest, ARefusedFileIsMovedAsideWithItsReason) {
  write("{}");
  fs::path where = journal.refuse(kName, "no manifest");
  EXPECT_THAT(queued_files(), ::testing::IsEmpty());
  EXPECT_EQ(os::read_text(where, 100), "{}");
  EXPECT_EQ(os::read_text(where.string() + ".reason", 100), "no manifest\n");
  EXPECT_EQ(journal.refused(), 1u);
  EXPECT_EQ(journal.remove_refused_before(1), 0u);
  EXPECT_EQ(journal.remove_refused_before(INT64_MAX), 1u);
  EXPECT_EQ(journal.refused(), 0u);
}

TEST_F(ClaimTest, AJobWhoseStateWasDamagedIsNamedAndLeftThere) {
  std::string id = journal.make_directory();
  os::write_text_atomically(journal.directory(id) / "job.json", "{");
  std::vector<std::string> problems;
  EXPECT_THAT(journal.load(problems), ::testing::IsEmpty());
  EXPECT_THAT(problems, ::testing::ElementsAre(::testing::HasSubstr("is not the state of a job")));
  EXPECT_TRUE(fs::exists(journal.directory(id) / "job.json"));
}

TEST_F(ClaimTest, APauseSurvives) {
  EXPECT_FALSE(journal.paused());
  journal.set_paused(true);
  EXPECT_TRUE(journal.paused());
  journal.set_paused(false);
  journal.set_paused(false);
  EXPECT_FALSE(journal.paused());
}

}  // namespace
}  // namespace hyper2kvm::daemon
