// The operator dies between any two of its writes, and starts again: the conversion still ends as it should,
// and never do two runners write at once.
//
// The world is a small model of what the API server and the Job's controller do; what is tested is that
// decide() needs nothing but what is in it.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "operator/conversion/manifests.h"
#include "tests/unit/conversion/samples.h"

namespace hyper2kvm::conversion {
namespace {

struct Crash {};

class World {
 public:
  explicit World(Conversion conversion) : conversion_(std::move(conversion)) {}

  // Looks and acts until nothing changes any more. Dies before the write with this number.
  void run_operator(int writes_until_crash) {
    writes_left_ = writes_until_crash;
    for (int turn = 0; turn < 200; ++turn) {
      int before = writes_;
      try {
        look();
      } catch (const Crash&) {
        return;
      }
      // What happens while nobody looks: at every turn one thing.
      if (writes_ == before && !live()) return;
    }
    FAIL() << "it never comes to rest: " << conversion_.status.message;
  }

  void remove_conversion() { conversion_.is_being_deleted = true; }
  void let_fail_first(int attempts) { failing_ = attempts; }

  const Status& status() const { return conversion_.status; }
  bool is_gone() const { return !exists_; }
  bool is_clean() const {
    return jobs_.empty() && pods_.empty() && !own_claim_ && disk_claims_.empty() && data_volumes_.empty() &&
           !machine_;
  }
  std::size_t disk_claims() const { return disk_claims_.size(); }
  std::size_t data_volumes() const { return data_volumes_.size(); }
  bool has_machine() const { return machine_.has_value(); }
  int writes() const { return writes_; }
  int most_runners_at_once() const { return most_runners_; }
  const std::map<std::string, int>& made_jobs() const { return made_jobs_; }

 private:
  void write() {
    if (writes_left_-- == 0) throw Crash{};
    ++writes_;
  }

  void look() {
    if (!exists_) return;
    Observed seen = observed(conversion_);
    seen.now = now_;
    if (conversion_.makes_its_claim()) {
      seen.output_claim.reset();
      if (own_claim_) seen.output_claim = ClaimView{{"vms", "web-disks"}, "c", conversion_.uid, false, false};
    }
    for (const std::string& name : disk_claims_)
      seen.disk_claims.push_back({{"vms", name},
                                  "uid of " + name,
                                  data_volumes_.contains(name) ? "" : conversion_.uid,
                                  false,
                                  false});
    for (const auto& [name, volume] : data_volumes_) seen.data_volumes.push_back(volume);
    if (machine_) seen.machine = read_machine(*machine_);
    for (const auto& [name, job] : jobs_) seen.jobs.push_back(job);
    for (const auto& [name, pod] : pods_) seen.pods.push_back(pod);
    Decision decision = decide(seen);
    wakes_ = decision.again_after.has_value();
    if (decision.status != conversion_.status) {
      write();
      conversion_.status = decision.status;
    }
    for (const Action& action : decision.actions) {
      write();
      std::visit([this](const auto& one) { apply(one); }, action);
    }
  }

  void apply(const AddFinalizer&) { conversion_.has_finalizer = true; }
  void apply(const RemoveFinalizer&) { exists_ = false; }
  void apply(const CreateClaim&) { own_claim_ = true; }
  void apply(const CreateDiskClaim& action) {
    const std::string& name = conversion_.status.disks.at(action.disk).claim_name;
    if (conversion_.disk_is_data_volume(action.disk))
      data_volumes_.try_emplace(name,
                                DataVolumeView{{"vms", name}, "dv", conversion_.uid, "Pending", "", false});
    else
      disk_claims_.insert(name);
  }
  void apply(const DeleteDataVolume& action) { data_volumes_.at(action.key.name).is_being_deleted = true; }
  void apply(const DeleteClaim& action) {
    if (disk_claims_.erase(action.key.name) == 0) own_claim_ = false;
  }
  void apply(const ApplyMachine& action) { machine_ = action.machine; }
  void apply(const DeleteMachine&) { machine_.reset(); }
  void apply(const DeleteConversion&) { conversion_.is_being_deleted = true; }
  void apply(const CreateJob& action) {
    Conversion at = conversion_;
    at.status.job_name = job_name(conversion_, action.attempt, action.work);
    // Its pod could not be started without them.
    if (action.work == Work::kConvert && conversion_.makes_a_claim_for_each_disk()) {
      EXPECT_EQ(disk_claims_.size(), 2u) << at.status.job_name;
      for (const auto& [name, volume] : data_volumes_)
        EXPECT_EQ(volume.phase, "Succeeded") << "CDI and a runner write to " << name;
    }
    if (jobs_.contains(at.status.job_name)) return;  // AlreadyExists
    ++made_jobs_[at.status.job_name];
    jobs_[at.status.job_name] = job_of(at);
  }
  void apply(const DeleteJob& action) { jobs_.at(action.key.name).is_being_deleted = true; }

  // One thing that the cluster does. False when there is nothing to do.
  bool live() {
    if (play_cdi()) return true;
    for (auto& [name, job] : jobs_) {
      auto pod = pods_.find(name);
      if (job.is_being_deleted) {
        if (pod != pods_.end())
          pods_.erase(pod);
        else
          jobs_.erase(name);
        return true;
      }
      if (job.is_finished()) continue;
      if (pod == pods_.end()) {
        Conversion at = conversion_;
        at.status.job_name = name;
        pods_[name] = pod_of(at);
        int running = 0;
        for (const auto& [other, one] : pods_) running += one.is_finished() ? 0 : 1;
        most_runners_ = std::max(most_runners_, running);
        return true;
      }
      if (!pod->second.is_finished()) {
        if (name.ends_with("-survey")) {
          pod->second = ended(pod->second, 0, survey_message(2));
          return true;
        }
        bool fails = failing_-- > 0;
        pod->second =
            ended(pod->second, fails ? 1 : 0,
                  fails ? failure_message("convert", "the disk is full.", true) : success_message());
        return true;
      }
      (pod->second.phase == "Failed" ? job.is_failed : job.is_complete) = true;
      return true;
    }
    if (wakes_) {
      now_ += std::chrono::seconds(60);
      return exists_;
    }
    return false;
  }

  // The claim comes before what CDI puts into it, and goes before the DataVolume does.
  bool play_cdi() {
    for (auto& [name, volume] : data_volumes_) {
      if (volume.is_being_deleted) {
        if (disk_claims_.erase(name) == 0) data_volumes_.erase(name);
        return true;
      }
      if (volume.phase == "Succeeded") continue;
      volume.phase = disk_claims_.insert(name).second ? "ImportInProgress" : "Succeeded";
      return true;
    }
    return false;
  }

  Conversion conversion_;
  bool exists_ = true;
  bool own_claim_ = false;
  std::set<std::string> disk_claims_;
  std::map<std::string, DataVolumeView> data_volumes_;
  std::optional<Json> machine_;
  bool wakes_ = false;
  std::map<std::string, JobView> jobs_;
  std::map<std::string, PodView> pods_;
  std::map<std::string, int> made_jobs_;
  kube::Calendar now_ = observed(sample()).now;
  int failing_ = 0;
  int writes_ = 0, writes_left_ = -1;
  int most_runners_ = 0;
};

Conversion fresh() {
  Json object = sample_object();
  object["metadata"].erase("finalizers");
  object["spec"]["output"] = {{"volumeClaimTemplate", {{"storage", "1Gi"}}}};
  return read_conversion(object);
}

constexpr int kNever = -1;

// How many writes this story takes without a crash.
int writes_of(int failing, bool cancelled) {
  World world(fresh());
  world.let_fail_first(failing);
  world.run_operator(kNever);
  if (cancelled) {
    world.remove_conversion();
    world.run_operator(kNever);
  }
  return world.writes();
}

TEST(Crash, BetweenAnyTwoWritesLeavesAConversionThatEnds) {
  int all = writes_of(2, false);
  ASSERT_GT(all, 10);
  for (int crash = 0; crash <= all; ++crash) {
    World world(fresh());
    world.let_fail_first(2);
    world.run_operator(crash);
    world.run_operator(kNever);
    EXPECT_EQ(world.status().phase, Phase::kSucceeded) << "after write " << crash;
    EXPECT_EQ(world.status().attempts, 3) << "after write " << crash;
    EXPECT_EQ(world.status().failures, 2) << "after write " << crash;
    EXPECT_EQ(world.most_runners_at_once(), 1) << "after write " << crash;
    for (const auto& [name, times] : world.made_jobs())
      EXPECT_EQ(times, 1) << name << " after write " << crash;
  }
}

TEST(Crash, TwiceInARowDoesNoMoreHarmThanOnce) {
  int all = writes_of(1, false);
  for (int first = 0; first <= all; ++first) {
    for (int second = 0; second <= 4; ++second) {
      World world(fresh());
      world.let_fail_first(1);
      world.run_operator(first);
      world.run_operator(second);
      world.run_operator(kNever);
      EXPECT_EQ(world.status().phase, Phase::kSucceeded) << first << ", " << second;
      EXPECT_EQ(world.most_runners_at_once(), 1) << first << ", " << second;
    }
  }
}

Conversion to_be_registered() {
  Conversion conversion = fresh();
  conversion.spec.kubevirt = kubevirt::Wishes{};
  return conversion;
}

TEST(Crash, WhileAMachineIsRegisteredLeavesOneThatIs) {
  World calm(to_be_registered());
  calm.run_operator(kNever);
  ASSERT_EQ(calm.status().phase, Phase::kSucceeded) << calm.status().message;
  for (int crash = 0; crash <= calm.writes(); ++crash) {
    World world(to_be_registered());
    world.run_operator(crash);
    world.run_operator(kNever);
    EXPECT_EQ(world.status().phase, Phase::kSucceeded) << "after write " << crash;
    EXPECT_EQ(world.status().attempts, 1) << "after write " << crash;
    EXPECT_TRUE(world.has_machine()) << "after write " << crash;
    EXPECT_EQ(value_of(world.status(), "Registered"), "True") << "after write " << crash;
  }
}

TEST(Crash, ACancellationBeforeAMachineIsReadyRemovesIt) {
  World calm(to_be_registered());
  calm.run_operator(kNever);
  for (int moment = 1; moment < calm.writes(); ++moment) {
    for (int crash = 0; crash <= 6; ++crash) {
      World world(to_be_registered());
      world.run_operator(moment);
      bool was_ready = world.status().phase == Phase::kSucceeded;
      world.remove_conversion();
      world.run_operator(crash);
      world.run_operator(kNever);
      EXPECT_TRUE(world.is_gone()) << moment << ", " << crash;
      if (was_ready)
        EXPECT_TRUE(world.has_machine()) << moment << ", " << crash;
      else
        EXPECT_TRUE(world.is_clean()) << moment << ", " << crash;
    }
  }
}

Conversion with_a_claim_for_each_disk() {
  Conversion conversion = to_be_registered();
  conversion.spec.template_.reset();
  conversion.spec.disk_claims = {Json::object()};
  return conversion;
}

Conversion with_a_data_volume_for_each_disk() {
  Conversion conversion = with_a_claim_for_each_disk();
  conversion.spec.disk_claims = {{{"dataVolume", true}}};
  return conversion;
}

// The same of plain claims and of DataVolumes.
class CrashWithDiskClaims : public testing::TestWithParam<Conversion (*)()> {};
INSTANTIATE_TEST_SUITE_P(OfBothKinds, CrashWithDiskClaims,
                         testing::Values(&with_a_claim_for_each_disk, &with_a_data_volume_for_each_disk),
                         [](const auto& instance) { return instance.index == 0 ? "Claims" : "DataVolumes"; });

TEST_P(CrashWithDiskClaims, WhileTheyAreMadeLeavesAConversionThatEnds) {
  World calm(GetParam()());
  calm.let_fail_first(1);
  calm.run_operator(kNever);
  ASSERT_EQ(calm.status().phase, Phase::kSucceeded) << calm.status().message;
  ASSERT_GT(calm.writes(), 12);
  for (int crash = 0; crash <= calm.writes(); ++crash) {
    World world(GetParam()());
    world.let_fail_first(1);
    world.run_operator(crash);
    world.run_operator(kNever);
    EXPECT_EQ(world.status().phase, Phase::kSucceeded) << "after write " << crash;
    EXPECT_EQ(world.status().attempts, 2) << "after write " << crash;
    EXPECT_EQ(world.disk_claims(), 2u) << "after write " << crash;
    EXPECT_EQ(world.data_volumes(), GetParam()().wants_data_volumes() ? 2u : 0u) << "after write " << crash;
    EXPECT_TRUE(world.has_machine()) << "after write " << crash;
    EXPECT_EQ(world.most_runners_at_once(), 1) << "after write " << crash;
    for (const auto& [name, times] : world.made_jobs())
      EXPECT_EQ(times, 1) << name << " after write " << crash;
  }
}

TEST_P(CrashWithDiskClaims, ACancellationWhileTheyAreMadeLeavesNone) {
  World calm(GetParam()());
  calm.run_operator(kNever);
  for (int moment = 1; moment < calm.writes(); ++moment) {
    for (int crash = 0; crash <= 6; ++crash) {
      World world(GetParam()());
      world.run_operator(moment);
      bool was_ready = world.status().phase == Phase::kSucceeded;
      world.remove_conversion();
      world.run_operator(crash);
      world.run_operator(kNever);
      EXPECT_TRUE(world.is_gone()) << moment << ", " << crash;
      EXPECT_EQ(world.is_clean(), !was_ready) << moment << ", " << crash;
    }
  }
}

TEST(Crash, ACancellationAtAnyPhaseLeavesNothingBehind) {
  int all = writes_of(1, false);
  for (int moment = 0; moment <= all; ++moment) {
    for (int crash = 0; crash <= 6; ++crash) {
      World world(fresh());
      world.let_fail_first(1);
      world.run_operator(moment);
      bool was_ready = world.status().phase == Phase::kSucceeded;
      world.remove_conversion();
      world.run_operator(crash);
      world.run_operator(kNever);
      if (was_ready || moment == 0) continue;  // its disks stay; nothing was there yet
      EXPECT_TRUE(world.is_gone()) << moment << ", " << crash;
      EXPECT_TRUE(world.is_clean()) << moment << ", " << crash;
    }
  }
}

}  // namespace
}  // namespace hyper2kvm::conversion
