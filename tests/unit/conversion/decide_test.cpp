#include "operator/conversion/decide.h"

#include <gtest/gtest.h>

#include "operator/kube/timestamp.h"
#include "runner/contract/termination.h"
#include "tests/unit/conversion/samples.h"

namespace hyper2kvm::conversion {
namespace {

using std::chrono::seconds;

// As the API server has it after the decision was written.
Observed after(Observed seen, const Decision& decision) {
  seen.conversion.status = decision.status;
  return seen;
}

Conversion with_template() {
  Json object = sample_object();
  object["spec"]["output"] = {{"volumeClaimTemplate", {{"storage", "1Gi"}}}};
  return read_conversion(object);
}

// --- before anything runs ---

TEST(Decide, TheFinalizerComesBeforeAnythingElse) {
  Observed seen = observed(sample());
  seen.conversion.has_finalizer = false;
  Decision decision = decide(seen);
  EXPECT_NE(find_action<AddFinalizer>(decision), nullptr);
  EXPECT_EQ(decision.actions.size(), 1u);
  EXPECT_EQ(decision.status, seen.conversion.status);
}

TEST(Decide, AValidConversionStarts) {
  Decision decision = decide(observed(sample()));
  ASSERT_NE(find_action<CreateJob>(decision), nullptr);
  EXPECT_EQ(find_action<CreateJob>(decision)->attempt, 1);
  EXPECT_EQ(decision.status.phase, Phase::kRunning);
  EXPECT_EQ(decision.status.attempts, 1);
  EXPECT_EQ(decision.status.job_name, "web-01234567-1") << "it is written before the Job is made";
  EXPECT_EQ(decision.status.start_time, "2026-01-31T13:00:00Z");
  EXPECT_EQ(value_of(decision.status, "Accepted"), "True");
  EXPECT_EQ(value_of(decision.status, "Ready"), "False");
  EXPECT_EQ(decision.place, Place::kHolds);
  EXPECT_EQ(decision.announcements.at(0).reason, "Started");
}

TEST(Decide, ASpecThatCannotBeConvertedIsNotAccepted) {
  Observed seen = observed(sample());
  seen.conversion.spec.path = "../x";
  Decision decision = decide(seen);
  EXPECT_TRUE(decision.actions.empty());
  EXPECT_EQ(decision.status.phase, Phase::kPending);
  EXPECT_EQ(value_of(decision.status, "Accepted"), "False");
  EXPECT_EQ(reason_of(decision.status, "Accepted"), "InvalidSpec");
  EXPECT_EQ(decision.place, Place::kNone);
  EXPECT_EQ(decision.announcements.size(), 1u);
  EXPECT_TRUE(decide(after(seen, decision)).announcements.empty()) << "once";
  // It is corrected.
  Observed corrected = after(seen, decision);
  corrected.conversion.spec.path = "x";
  EXPECT_NE(find_action<CreateJob>(decide(corrected)), nullptr);
}

TEST(Decide, ClaimsThatAreNotThereAreWaitedFor) {
  struct {
    const char* name;
    std::function<void(Observed&)> change;
    const char* reason;
  } cases[] = {
      {"no source", [](Observed& seen) { seen.source_claim.reset(); }, "SourceMissing"},
      {"source goes", [](Observed& seen) { seen.source_claim->is_being_deleted = true; }, "SourceMissing"},
      {"block source", [](Observed& seen) { seen.source_claim->is_block = true; }, "SourceIsBlock"},
      {"no file of the source", [](Observed& seen) { seen.conversion.spec.path.clear(); }, "InvalidSpec"},
      {"from block to the same block",
       [](Observed& seen) {
         seen.conversion.spec.path.clear();
         seen.conversion.spec.output_claim = seen.conversion.spec.source_claim;
         seen.source_claim->is_block = true;
         seen.output_claim = seen.source_claim;
       },
       "OutputIsBlock"},
      {"no output", [](Observed& seen) { seen.output_claim.reset(); }, "OutputMissing"},
      {"output goes", [](Observed& seen) { seen.output_claim->is_being_deleted = true; }, "OutputMissing"},
      {"qcow2 to block",
       [](Observed& seen) {
         seen.output_claim->is_block = true;
         seen.conversion.spec.format = "qcow2";
       },
       "OutputIsBlock"},
      {"compressed to block",
       [](Observed& seen) {
         seen.output_claim->is_block = true;
         seen.conversion.spec.compress = true;
       },
       "OutputIsBlock"},
      {"several disks to block",
       [](Observed& seen) {
         seen.output_claim->is_block = true;
         seen.conversion.spec.path.clear();
         seen.conversion.spec.disks = {"a.vmdk", "b.vmdk"};
       },
       "OutputIsBlock"},
      {"another's claim", [](Observed& seen) { seen.conversion = with_template(); }, "ClaimExists"},
  };
  for (const auto& one : cases) {
    Observed seen = observed(sample());
    one.change(seen);
    Decision decision = decide(seen);
    EXPECT_TRUE(decision.actions.empty()) << one.name;
    EXPECT_EQ(decision.status.phase, Phase::kPending) << one.name;
    EXPECT_EQ(reason_of(decision.status, "Ready"), one.reason) << one.name;
    EXPECT_EQ(decision.place, Place::kNone) << one.name;
  }
}

TEST(Decide, ABlockVolumeIsTheWholeSource) {
  Observed seen = observed(sample());
  seen.source_claim->is_block = true;
  seen.conversion.spec.path.clear();
  Decision decision = decide(seen);
  ASSERT_NE(find_action<CreateJob>(decision), nullptr);
  EXPECT_TRUE(find_action<CreateJob>(decision)->block.source);
  EXPECT_FALSE(find_action<CreateJob>(decision)->block.output);
}

TEST(Decide, ADiskOnABlockVolumeIsTheClaim) {
  Observed seen = observed(sample());
  seen.output_claim->is_block = true;
  Decision decision = decide(seen);
  ASSERT_NE(find_action<CreateJob>(decision), nullptr);
  EXPECT_TRUE(find_action<CreateJob>(decision)->block.output);
  seen = running();
  seen.output_claim->is_block = true;
  contract::Report report;
  report.success = true;
  report.artifacts.push_back({.path = "/dev/output", .disk_id = "disk-0", .format = "raw"});
  seen.pods[0] = ended(seen.pods[0], 0, contract::to_termination_message(report));
  Status status = decide(seen).status;
  EXPECT_EQ(status.phase, Phase::kSucceeded);
  EXPECT_EQ(status.target, "disks");
  EXPECT_EQ(status.artifacts.at(0).path, "");
  // What does not fit on it is no success.
  report.artifacts.push_back({.path = "/output/web/disk-1.raw", .disk_id = "disk-1", .format = "raw"});
  seen.pods[0] = ended(seen.pods[0], 0, contract::to_termination_message(report));
  EXPECT_EQ(reason_of(decide(seen).status, "Failed"), "TooManyDisks");
}

TEST(Decide, TellsWhatWasFoundInTheGuest) {
  Observed seen = running();
  contract::Report report;
  report.success = true;
  report.artifacts.push_back({.path = "/output/web/disk-0.qcow2", .disk_id = "disk-0", .format = "qcow2"});
  report.machine = contract::MachineFacts{};
  report.machine->os_type = "linux";
  report.machine->pretty_name = "Debian GNU/Linux 12 (bookworm)";
  report.machine->hostname = "web01";
  seen.pods[0] = ended(seen.pods[0], 0, contract::to_termination_message(report));
  Status status = decide(seen).status;
  ASSERT_TRUE(status.guest);
  EXPECT_EQ(status.guest->name, "Debian GNU/Linux 12 (bookworm)");
  // As it is read again.
  EXPECT_EQ(read_status({{"status", to_json(status)}}), status);
}

TEST(Decide, ARunnerThatMadeNoDiskIsNoSuccess) {
  Observed seen = running();
  contract::Report report;
  report.success = true;
  seen.pods[0] = ended(seen.pods[0], 0, contract::to_termination_message(report));
  EXPECT_EQ(reason_of(decide(seen).status, "Failed"), "NothingConverted");
}

TEST(Decide, AClaimIsMadeFromTheTemplateBeforeTheJob) {
  Observed seen = observed(with_template());
  seen.output_claim.reset();
  Decision decision = decide(seen);
  EXPECT_NE(find_action<CreateClaim>(decision), nullptr);
  EXPECT_EQ(find_action<CreateJob>(decision), nullptr);
  seen.output_claim = ClaimView{{"vms", "web-disks"}, "c", seen.conversion.uid, false, false};
  EXPECT_NE(find_action<CreateJob>(decide(after(seen, decision))), nullptr);
}

TEST(Decide, WithoutAFreePlaceItIsQueued) {
  Observed seen = observed(sample());
  seen.may_start = false;
  seen.ahead_in_queue = 3;
  Decision decision = decide(seen);
  EXPECT_TRUE(decision.actions.empty());
  EXPECT_EQ(decision.status.phase, Phase::kQueued);
  EXPECT_EQ(decision.place, Place::kWaits);
  EXPECT_NE(decision.status.message.find("3 conversions"), std::string::npos);
  Observed later = after(seen, decision);
  later.ahead_in_queue = 1;
  EXPECT_EQ(decide(later).status, decision.status) << "not a write for each that ends before it";
  later.may_start = true;
  EXPECT_NE(find_action<CreateJob>(decide(later)), nullptr);
}

TEST(Decide, WhatIsSuspendedDoesNotStart) {
  Observed seen = observed(sample());
  seen.conversion.spec.suspend = true;
  Decision decision = decide(seen);
  EXPECT_TRUE(decision.actions.empty());
  EXPECT_EQ(decision.status.phase, Phase::kSuspended);
  EXPECT_EQ(decision.place, Place::kNone);
  seen.conversion.spec.suspend = false;
  EXPECT_NE(find_action<CreateJob>(decide(after(seen, decision))), nullptr);
}

// --- an attempt is in flight ---

TEST(Decide, AJobThatIsNotThereYetIsMadeAgainUnderTheSameName) {
  Observed seen = observed(sample());
  Decision first = decide(seen);
  Decision again = decide(after(seen, first));
  ASSERT_NE(find_action<CreateJob>(again), nullptr);
  EXPECT_EQ(find_action<CreateJob>(again)->attempt, 1);
  EXPECT_EQ(again.status, first.status);
}

TEST(Decide, ARunningPodIsFollowedAndItsProgressShown) {
  Observed seen = running();
  seen.progress = Progress{"convert", 50, 100, 10, 5};
  Decision decision = decide(seen);
  EXPECT_TRUE(decision.actions.empty());
  EXPECT_EQ(decision.status.phase, Phase::kRunning);
  EXPECT_EQ(decision.status.node, "node1");
  ASSERT_TRUE(decision.status.progress);
  EXPECT_EQ(decision.status.progress->percent(), 50);
  EXPECT_EQ(decision.follow, seen.pods[0].key);
  EXPECT_EQ(value_of(decision.status, "Running"), "True");
}

TEST(Decide, WhatKeepsThePodFromRunningIsSaidAndWaitedFor) {
  Observed seen = running();
  seen.pods[0].phase = "Pending";
  seen.pods[0].has_started = false;
  seen.pods[0].waiting_reason = "ImagePullBackOff";
  seen.pods[0].waiting_message = "no such image";
  Decision decision = decide(seen);
  EXPECT_TRUE(decision.actions.empty());
  EXPECT_EQ(value_of(decision.status, "Running"), "False");
  EXPECT_EQ(reason_of(decision.status, "Running"), "ImagePullBackOff");
  EXPECT_EQ(decision.announcements.size(), 1u);
  EXPECT_FALSE(decision.follow);
  EXPECT_TRUE(decide(after(seen, decision)).announcements.empty());
  // It passes.
  Observed later = after(seen, decision);
  later.pods[0] = pod_of(later.conversion);
  EXPECT_EQ(value_of(decide(later).status, "Running"), "True");
}

TEST(Decide, ASuccessNamesItsDisksAndIsReady) {
  Observed seen = running();
  seen.pods[0] = ended(seen.pods[0], 0, success_message());
  Decision decision = decide(seen);
  EXPECT_TRUE(decision.actions.empty());
  EXPECT_EQ(decision.status.phase, Phase::kSucceeded);
  EXPECT_EQ(value_of(decision.status, "Ready"), "True");
  EXPECT_EQ(value_of(decision.status, "Converted"), "True");
  EXPECT_EQ(value_of(decision.status, "Failed"), "False");
  ASSERT_EQ(decision.status.artifacts.size(), 1u);
  EXPECT_EQ(decision.status.artifacts[0].claim_name, "disks");
  EXPECT_EQ(decision.status.artifacts[0].path, "web/disk-0.qcow2");
  EXPECT_EQ(decision.status.target, "disks/web");
  EXPECT_EQ(decision.status.completion_time, "2026-01-31T13:00:00Z");
  EXPECT_EQ(decision.place, Place::kNone);
  Decision later = decide(after(seen, decision));
  EXPECT_EQ(later.status, decision.status);
  EXPECT_TRUE(later.actions.empty());
  EXPECT_TRUE(later.announcements.empty());
}

TEST(Decide, AFailureOfTheInputIsFinalAndNamesTheStage) {
  Observed seen = running();
  seen.pods[0] = ended(seen.pods[0], 1, failure_message("verify", "web.ova: is damaged.", false));
  Decision decision = decide(seen);
  EXPECT_EQ(decision.status.phase, Phase::kFailed);
  EXPECT_EQ(decision.status.failed_stage, "verify");
  EXPECT_NE(decision.status.message.find("web.ova: is damaged."), std::string::npos);
  EXPECT_EQ(value_of(decision.status, "Failed"), "True");
  EXPECT_EQ(value_of(decision.status, "Ready"), "False");
  EXPECT_EQ(decision.place, Place::kNone);
  seen.jobs[0].is_failed = true;
  EXPECT_TRUE(decide(after(seen, decision)).actions.empty()) << "the Job stays for its log";
}

TEST(Decide, AFailureThatMayPassIsTriedAgainLaterAndLaterAndThenGivenUp) {
  Observed seen = running();
  std::vector<seconds> waits;
  for (int attempt = 1;; ++attempt) {
    seen.pods = {ended(pod_of(seen.conversion), 1, failure_message("convert", "the disk is full.", true))};
    Decision failed = decide(seen);
    if (failed.status.phase == Phase::kFailed) {
      EXPECT_EQ(attempt, 4);
      EXPECT_EQ(failed.status.failures, 4);
      break;
    }
    ASSERT_EQ(failed.status.phase, Phase::kPending);
    EXPECT_EQ(reason_of(failed.status, "Ready"), "StageFailed");
    EXPECT_EQ(failed.place, Place::kNone) << "others may have its place meanwhile";
    ASSERT_TRUE(failed.again_after);
    waits.push_back(*failed.again_after);
    seen = after(seen, failed);
    seen.jobs[0].is_failed = true;

    Decision waiting = decide(seen);
    EXPECT_TRUE(waiting.actions.empty()) << "the Job stays for its log until the next attempt";
    EXPECT_EQ(waiting.status, failed.status);
    seen.now += *failed.again_after + seconds(1);
    Decision cleaning = decide(seen);
    EXPECT_NE(find_action<DeleteJob>(cleaning), nullptr);
    EXPECT_EQ(find_action<CreateJob>(cleaning), nullptr) << "two at once would write into the same directory";
    seen.jobs.clear();
    EXPECT_EQ(find_action<CreateJob>(decide(after(seen, cleaning))), nullptr) << "its pod is still there";
    seen.pods.clear();
    Decision next = decide(after(seen, cleaning));
    ASSERT_NE(find_action<CreateJob>(next), nullptr);
    EXPECT_EQ(next.status.attempts, attempt + 1);
    seen = after(seen, next);
    seen.jobs = {job_of(seen.conversion)};
  }
  EXPECT_EQ(waits, (std::vector<seconds>{seconds(10), seconds(20), seconds(40)}));
}

TEST(Decide, BackOffEndsAtAnHour) {
  Observed seen = running();
  seen.conversion.spec.retry_limit = 100;
  seen.conversion.status.failures = 60;
  seen.pods = {ended(pod_of(seen.conversion), 1, failure_message("convert", "x", true))};
  EXPECT_EQ(decide(seen).again_after, seconds(3600));
}

TEST(Decide, AJobThatSomebodyDeletedIsTriedAgain) {
  Observed seen = running();
  seen.jobs.clear();
  seen.pods.clear();
  Decision decision = decide(seen);
  EXPECT_EQ(reason_of(decision.status, "Ready"), "JobDeleted");
  EXPECT_EQ(decision.status.phase, Phase::kPending);
  seen = running();
  seen.jobs[0].is_being_deleted = true;
  EXPECT_EQ(reason_of(decide(seen).status, "Ready"), "JobDeleted");
}

TEST(Decide, APodThatSomebodyDeletedIsReplacedByItsJobOrTriedAgain) {
  Observed seen = running();
  seen.pods.clear();
  Decision decision = decide(seen);
  EXPECT_EQ(decision.status.phase, Phase::kRunning) << "the Job makes a new one";
  EXPECT_TRUE(decision.actions.empty());
  seen.jobs[0].is_failed = true;  // or it does not
  EXPECT_EQ(reason_of(decide(seen).status, "Ready"), "PodLost");
  EXPECT_EQ(decide(seen).status.phase, Phase::kPending);
}

TEST(Decide, OfAPodAndItsReplacementTheOneThatLivesCounts) {
  Observed seen = running();
  PodView going = pod_of(seen.conversion), replacement = pod_of(seen.conversion);
  going.is_being_deleted = true;
  replacement.key.name = "replacement";
  for (auto pods : {std::vector{going, replacement}, {replacement, going}}) {
    seen.pods = pods;
    EXPECT_EQ(decide(seen).follow, replacement.key);
  }
}

TEST(Decide, TheTimeoutStopsTheRunnerAndIsFinal) {
  Observed seen = running();
  seen.conversion.spec.timeout = "1h";
  Decision before = decide(seen);
  EXPECT_EQ(before.again_after, seconds(3600));
  seen.now += seconds(3600);
  Decision decision = decide(seen);
  EXPECT_NE(find_action<DeleteJob>(decision), nullptr);
  EXPECT_EQ(decision.status.phase, Phase::kFailed);
  EXPECT_EQ(reason_of(decision.status, "Failed"), "DeadlineExceeded");
  EXPECT_NE(find_action<DeleteJob>(decide(after(seen, decision))), nullptr) << "until it is stopped";
  // Also while it waits.
  Observed queued = observed(sample());
  queued.conversion.spec.timeout = "1h";
  queued.conversion.status.start_time = "2026-01-31T11:00:00Z";
  queued.may_start = false;
  EXPECT_EQ(decide(queued).status.phase, Phase::kFailed);
}

TEST(Decide, AResultThatCameBeforeTheTimeoutWasSeenCounts) {
  Observed seen = running();
  seen.conversion.spec.timeout = "1h";
  seen.now += seconds(7200);
  seen.pods[0] = ended(seen.pods[0], 0, success_message());
  EXPECT_EQ(decide(seen).status.phase, Phase::kSucceeded);
}

TEST(Decide, SuspendStopsTheRunnerAndCountsAsNoFailure) {
  Observed seen = running();
  seen.conversion.spec.suspend = true;
  Decision stopping = decide(seen);
  EXPECT_NE(find_action<DeleteJob>(stopping), nullptr);
  EXPECT_EQ(stopping.place, Place::kHolds) << "it still runs";
  seen = after(seen, stopping);
  seen.jobs.clear();
  EXPECT_EQ(decide(seen).place, Place::kHolds);
  seen.pods.clear();
  Decision stopped = decide(seen);
  EXPECT_EQ(stopped.status.phase, Phase::kSuspended);
  EXPECT_EQ(stopped.status.failures, 0);
  EXPECT_EQ(stopped.place, Place::kNone);
  seen = after(seen, stopped);
  EXPECT_EQ(decide(seen).status, stopped.status);
  seen.conversion.spec.suspend = false;
  EXPECT_EQ(find_action<CreateJob>(decide(seen))->attempt, 2);
}

TEST(Decide, WhatTheServerRefusesIsSaidAndTriedAgainWhereItMayPass) {
  Observed seen = observed(sample());
  seen.conversion.status = decide(seen).status;
  seen.refusal = Failure{"JobRefused", "", "jobs.batch vms/x: cannot create: bad resources", false};
  Decision decision = decide(seen);
  EXPECT_EQ(decision.status.phase, Phase::kFailed);
  EXPECT_EQ(reason_of(decision.status, "Failed"), "JobRefused");
  EXPECT_EQ(decision.status.job_name, "");
  seen.refusal->may_pass = true;
  EXPECT_EQ(decide(seen).status.phase, Phase::kPending);
}

// --- the end ---

Observed succeeded() {
  Observed seen = running();
  seen.pods[0] = ended(seen.pods[0], 0, success_message());
  seen.conversion.status = decide(seen).status;
  return seen;
}

TEST(Decide, AfterItsTimeToLiveItIsDeleted) {
  Observed seen = succeeded();
  seen.conversion.spec.ttl = seconds(100);
  EXPECT_EQ(decide(seen).again_after, seconds(100));
  EXPECT_EQ(find_action<DeleteConversion>(decide(seen)), nullptr);
  seen.now += seconds(100);
  EXPECT_NE(find_action<DeleteConversion>(decide(seen)), nullptr);
}

TEST(Decide, ADeletedOneLosesItsFinalizerOnlyWhenNothingIsLeft) {
  Observed seen = running();
  seen.conversion.is_being_deleted = true;
  Decision decision = decide(seen);
  EXPECT_NE(find_action<DeleteJob>(decision), nullptr);
  EXPECT_EQ(find_action<RemoveFinalizer>(decision), nullptr);
  EXPECT_EQ(decision.status.phase, Phase::kDeleting);
  EXPECT_EQ(decision.place, Place::kHolds);
  seen.jobs.clear();
  EXPECT_EQ(find_action<RemoveFinalizer>(decide(seen)), nullptr) << "its pod still runs";
  seen.pods.clear();
  EXPECT_NE(find_action<RemoveFinalizer>(decide(seen)), nullptr);
  seen.conversion.has_finalizer = false;
  EXPECT_TRUE(decide(seen).actions.empty());
}

TEST(Decide, TheClaimThatWasMadeForItGoesWithACancelledOneAndStaysAfterASuccess) {
  ClaimView own{{"vms", "web-disks"}, "c", sample().uid, false, false};
  Observed seen = observed(with_template());
  seen.output_claim = own;
  seen.conversion.is_being_deleted = true;
  EXPECT_NE(find_action<DeleteClaim>(decide(seen)), nullptr);
  EXPECT_EQ(find_action<RemoveFinalizer>(decide(seen)), nullptr);
  seen.output_claim->is_being_deleted = true;
  EXPECT_TRUE(decide(seen).actions.empty()) << "until it is gone";
  seen.output_claim->conversion_uid = "another";
  EXPECT_NE(find_action<RemoveFinalizer>(decide(seen)), nullptr) << "it is not ours";

  Observed done = succeeded();
  done.conversion.spec.output_claim.clear();
  done.conversion.spec.template_ = Json::object();
  done.output_claim = own;
  done.jobs.clear();
  done.pods.clear();
  done.conversion.is_being_deleted = true;
  EXPECT_EQ(find_action<DeleteClaim>(decide(done)), nullptr);
  EXPECT_NE(find_action<RemoveFinalizer>(decide(done)), nullptr);
}

TEST(Decide, AnExistingClaimIsNeverDeleted) {
  Observed seen = observed(sample());
  seen.output_claim->conversion_uid = seen.conversion.uid;  // whatever its label says
  seen.conversion.is_being_deleted = true;
  EXPECT_EQ(find_action<DeleteClaim>(decide(seen)), nullptr);
}

}  // namespace
}  // namespace hyper2kvm::conversion
