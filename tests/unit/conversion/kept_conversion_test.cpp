#include "operator/conversion/kept_conversion.h"

#include <gtest/gtest.h>

#include "tests/unit/conversion/samples.h"

namespace hyper2kvm::conversion {
namespace {

Conversion ended(Phase phase) {
  Conversion conversion = running().conversion;
  conversion.status.phase = phase;
  conversion.status.completion_time = "2026-01-31T12:30:00Z";
  conversion.status.job_name.clear();
  conversion.status.message = "It has ended.";
  conversion.status.artifacts.push_back({"disk-0", "disks", "web/disk-0.qcow2", "qcow2", 1});
  return conversion;
}

TEST(KeptConversion, IsWholeWhileSomethingMayStillBeDone) {
  Conversion conversion = running().conversion;
  KeptConversion kept(conversion);
  ASSERT_NE(kept.open(), nullptr);
  EXPECT_EQ(kept.conversion().status, conversion.status);
  EXPECT_EQ(kept.conversion().spec.path, conversion.spec.path);
  // To be deleted after its end: what it has made must be known.
  conversion = ended(Phase::kSucceeded);
  conversion.is_being_deleted = true;
  EXPECT_EQ(KeptConversion(conversion).conversion().status, conversion.status);
}

TEST(KeptConversion, OfOneThatHasEndedIsEnoughToDecideTheSame) {
  for (Phase phase : {Phase::kSucceeded, Phase::kFailed})
    for (int ttl : {-1, 60, 86400})
      for (bool has_finalizer : {true, false}) {
        Observed whole = running();
        whole.conversion = ended(phase);
        whole.conversion.has_finalizer = has_finalizer;
        if (ttl >= 0) whole.conversion.spec.ttl = std::chrono::seconds(ttl);
        Observed brief = whole;
        KeptConversion kept(whole.conversion);
        EXPECT_EQ(kept.open(), nullptr);
        EXPECT_EQ(kept.phase(), phase);
        brief.conversion = kept.conversion();
        Decision expected = decide(whole), decision = decide(brief);
        SCOPED_TRACE(std::to_string(ttl) + (has_finalizer ? " with" : " without") + " a finalizer");
        EXPECT_EQ(decision.status, brief.conversion.status) << "a status must not be written";
        ASSERT_EQ(decision.actions.size(), expected.actions.size());
        for (std::size_t i = 0; i < decision.actions.size(); ++i)
          EXPECT_EQ(decision.actions[i].index(), expected.actions[i].index());
        EXPECT_EQ(decision.again_after, expected.again_after);
        EXPECT_EQ(decision.place, expected.place);
        EXPECT_EQ(brief.conversion.uid, whole.conversion.uid);
        EXPECT_EQ(brief.conversion.resource_version, whole.conversion.resource_version);
      }
}

}  // namespace
}  // namespace hyper2kvm::conversion
