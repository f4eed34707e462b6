#include "operator/conversion/decide.h"

#include <algorithm>

#include "operator/conversion/claims.h"
#include "operator/conversion/manifests.h"
#include "operator/conversion/outcome.h"
#include "operator/conversion/registration.h"
#include "operator/kube/timestamp.h"
#include "runner/contract/text.h"
#include "runner/os/error.h"

namespace hyper2kvm::conversion {
namespace {

using std::chrono::seconds;

constexpr seconds kLongestBackoff{3600};
// Kinds that a cluster may have none of are asked for and not watched: until CDI, or somebody, has done
// what is missing.
constexpr seconds kLookForDataVolume{2};
constexpr seconds kLookForSomebody{30};

// One decision while it is being made.
class Deciding {
 public:
  explicit Deciding(const Observed& observed)
      : seen_(observed), it_(observed.conversion), status_(decision_.status) {
    status_ = it_.status;
  }

  Decision take() && {
    if (it_.is_being_deleted) {
      be_deleted();
    } else if (!it_.has_finalizer) {
      // Before the first side effect; the change brings us here again.
      decision_.actions.emplace_back(AddFinalizer{});
    } else if (status_.is_finished()) {
      be_finished();
    } else {
      status_.observed_generation = it_.generation;
      if (status_.is_in_flight())
        go_on();
      else
        prepare();
    }
    return std::move(decision_);
  }

 private:
  // --- what is there ---
  const JobView* current_job() const {
    for (const JobView& job : seen_.jobs)
      if (job.key.name == status_.job_name) return &job;
    return nullptr;
  }
  const PodView* current_pod() const {
    const PodView* found = nullptr;
    for (const PodView& pod : seen_.pods) {
      if (pod.job_name != status_.job_name) continue;
      // A Job may replace a pod that was deleted: the one that has ended, or is not going away, counts.
      if (found == nullptr || (pod.is_finished() && !found->is_finished()) ||
          (found->is_being_deleted && !pod.is_being_deleted))
        found = &pod;
    }
    return found;
  }
  std::optional<kube::Calendar> deadline() const {
    auto limit = parse_timeout(it_.spec.timeout);
    auto start = kube::parse_time(status_.start_time);
    if (!limit || !start) return std::nullopt;
    return *start + *limit;
  }
  seconds until(kube::Calendar moment) const {
    return std::max(seconds(1), std::chrono::ceil<seconds>(moment - seen_.now));
  }
  void look_again(seconds after) {
    if (!decision_.again_after || after < *decision_.again_after) decision_.again_after = after;
  }

  // --- what is said ---
  void condition(const char* type, const char* value, std::string reason, std::string message) {
    kube::set_condition(status_.conditions,
                        {type, value, std::move(reason), std::move(message), it_.generation, ""}, seen_.now);
  }
  void phase(Phase phase, const std::string& message) {
    status_.phase = phase;
    status_.message = message;
  }
  void not_running(const std::string& reason, const std::string& message) {
    condition("Running", "False", reason, message);
    condition("Ready", "False", reason, message);
  }
  void announce(bool is_warning, std::string reason, std::string message) {
    decision_.announcements.push_back({is_warning, std::move(reason), std::move(message)});
  }

  // --- removing ---
  // Every Job but one of this name. True when none of them, and no pod of them, is left.
  bool remove_jobs(const std::string& except = "") {
    bool all_gone = true;
    for (const JobView& job : seen_.jobs) {
      if (job.key.name == except) continue;
      all_gone = false;
      if (!job.is_being_deleted) decision_.actions.emplace_back(DeleteJob{job.key, job.uid});
    }
    for (const PodView& pod : seen_.pods)
      if (pod.job_name != except || except.empty()) all_gone = false;
    return all_gone;
  }

  void be_deleted() {
    if (!it_.has_finalizer) return;
    bool had_succeeded =
        kube::find_condition(status_.conditions, "Ready").value_or(kube::Condition{}).status == "True";
    bool all_gone = remove_jobs();
    if (!all_gone) {
      decision_.place = status_.is_in_flight() ? Place::kHolds : Place::kNone;
      phase(Phase::kDeleting, "The runner is being stopped.");
      return;
    }
    // A machine that was made from disks which do not stay.
    if (!had_succeeded && seen_.machine && seen_.machine->conversion_uid == it_.uid) {
      phase(Phase::kDeleting, "The VirtualMachine is being removed.");
      if (!seen_.machine->is_being_deleted)
        decision_.actions.emplace_back(DeleteMachine{seen_.machine->key, seen_.machine->uid});
      look_again(seconds(1));
      return;
    }
    // What was made for disks which never came.
    bool has_data_volumes = false;
    for (const DataVolumeView& volume : seen_.data_volumes) {
      if (had_succeeded || volume.conversion_uid != it_.uid) continue;
      has_data_volumes = true;
      if (!volume.is_being_deleted) decision_.actions.emplace_back(DeleteDataVolume{volume.key, volume.uid});
    }
    if (has_data_volumes) {
      phase(Phase::kDeleting, "What was made for the disks is being removed.");
      look_again(seconds(1));
      return;
    }
    std::vector<ClaimView> made;
    if (seen_.output_claim && it_.makes_its_claim()) made.push_back(*seen_.output_claim);
    made.insert(made.end(), seen_.disk_claims.begin(), seen_.disk_claims.end());
    std::erase_if(made, [&](const ClaimView& claim) { return claim.conversion_uid != it_.uid; });
    if (!had_succeeded && !made.empty()) {
      phase(Phase::kDeleting, "What was made for the disks is being removed.");
      for (const ClaimView& claim : made)
        if (!claim.is_being_deleted) decision_.actions.emplace_back(DeleteClaim{claim.key, claim.uid});
      return;
    }
    decision_.actions.emplace_back(RemoveFinalizer{});
  }

  void be_finished() {
    // What still runs after a failure (a timeout) is stopped, also when the operator died in between. What
    // has ended stays for its log.
    for (const JobView& job : seen_.jobs)
      if (!job.is_finished() && !job.is_being_deleted && status_.phase == Phase::kFailed && !has_ended(job))
        decision_.actions.emplace_back(DeleteJob{job.key, job.uid});
    if (!it_.spec.ttl) return;
    auto finished = kube::parse_time(status_.completion_time);
    if (!finished) return;
    if (seen_.now >= *finished + *it_.spec.ttl)
      decision_.actions.emplace_back(DeleteConversion{});
    else
      look_again(until(*finished + *it_.spec.ttl));
  }
  bool has_ended(const JobView& job) const {
    return std::any_of(seen_.pods.begin(), seen_.pods.end(),
                       [&](const PodView& pod) { return pod.job_name == job.key.name && pod.is_finished(); });
  }

  // --- before an attempt ---
  void prepare() {
    if (std::string problem = problem_of(it_.spec); !problem.empty()) return refuse_spec(problem);
    condition("Accepted", "True", "Valid", "The conversion can be started.");
    if (it_.spec.suspend) {
      remove_jobs();
      const char* message = "spec.suspend is true.";
      if (status_.phase != Phase::kSuspended) announce(false, "Suspended", message);
      phase(Phase::kSuspended, message);
      not_running("Suspended", message);
      return;
    }
    if (auto limit = deadline(); limit && seen_.now >= *limit) return time_is_over();
    if (auto retry = kube::parse_time(status_.next_retry_time); retry && seen_.now < *retry) {
      look_again(until(*retry));
      if (auto limit = deadline()) look_again(until(*limit));
      status_.phase = Phase::kPending;
      return;
    }
    // The next attempt writes into the same directory: nothing of the last one may run any more.
    if (!remove_jobs()) {
      wait_for("CleaningUp", "What is left of the last attempt is being removed.");
      return;
    }
    if (seen_.refusal) return fail(*seen_.refusal);
    if (!cdi_is_there() || !claims_are_there() || !machine_can_be_made()) return;
    if (!seen_.may_start) {
      std::string message = seen_.ahead_in_queue == 0
                                ? "All places for conversions are taken."
                                : std::to_string(seen_.ahead_in_queue) + " conversions are before this one.";
      if (status_.phase != Phase::kQueued) announce(false, "Queued", message);
      // The number changes with every conversion that ends: what is not worth a write each is left as it was.
      if (status_.phase != Phase::kQueued) {
        phase(Phase::kQueued, message);
        not_running("Queued", message);
      }
      decision_.place = Place::kWaits;
      if (auto limit = deadline()) look_again(until(*limit));
      return;
    }
    start();
  }

  void refuse_spec(const std::string& problem) {
    condition("Accepted", "False", "InvalidSpec", problem);
    not_running("InvalidSpec", problem);
    if (status_.phase != Phase::kPending || status_.message != problem)
      announce(true, "InvalidSpec", problem);
    phase(Phase::kPending, problem);
  }

  void wait_for(const std::string& reason, const std::string& message) {
    phase(Phase::kPending, message);
    not_running(reason, message);
  }

  bool claims_are_there() {
    if (auto lack = lack_of_source(seen_)) return wait_for(lack->reason, lack->message), false;
    if (!seen_.source_claim->is_block && !it_.spec.names_files())
      return refuse_spec("The claim " + it_.spec.source_claim +
                         " holds files. Name either spec.source.path or spec.source.disks."),
             false;
    // Not made before it is known how large the disks are.
    if (it_.makes_a_claim_for_each_disk()) return true;
    const std::optional<Lack> lack = lack_of_output(seen_);
    if (!lack) return true;
    if (lack->remedy == Lack::Remedy::kMake) decision_.actions.emplace_back(CreateClaim{});
    wait_for(lack->reason, lack->message);
    if (it_.output_is_data_volume())
      look_again(lack->remedy == Lack::Remedy::kPerson ? kLookForSomebody : kLookForDataVolume);
    return false;
  }

  // Found out before anything is asked of a cluster that has none.
  bool cdi_is_there() {
    if (!it_.wants_data_volumes() || seen_.has_cdi) return true;
    wait_for("CDIMissing",
             "The cluster has no DataVolumes (cdi.kubevirt.io/v1beta1). Install CDI, or leave dataVolume out "
             "of spec.output.");
    look_again(kLookForSomebody);
    return false;
  }

  BlockVolumes block_volumes() const {
    return {seen_.source_claim && seen_.source_claim->is_block,
            seen_.output_claim && seen_.output_claim->is_block};
  }

  // Found out before hours are spent on the disks. Nobody tells when it changes.
  bool machine_can_be_made() {
    if (!it_.spec.kubevirt) return true;
    if (!seen_.has_kubevirt) {
      wait_for(
          "KubeVirtMissing",
          "The cluster has no VirtualMachines (kubevirt.io/v1). Install KubeVirt, or remove spec.register.");
      look_again(kLookForSomebody);
      return false;
    }
    if (seen_.machine && seen_.machine->conversion_uid != it_.uid) {
      wait_for("MachineExists",
               "There is a VirtualMachine " + seen_.machine->key.name +
                   " already, which was not made by this conversion. Delete it, or set another "
                   "spec.register.kubevirt.name.");
      look_again(kLookForSomebody);
      return false;
    }
    return true;
  }

  void start() {
    ++status_.attempts;
    const Work work = it_.makes_a_claim_for_each_disk() ? Work::kSurvey : Work::kConvert;
    status_.job_name = job_name(it_, status_.attempts, work);
    status_.job_uid.clear();
    status_.node.clear();
    status_.next_retry_time.clear();
    status_.progress.reset();
    status_.failed_stage.clear();
    if (status_.start_time.empty()) status_.start_time = kube::to_time(seen_.now);
    std::string message = "Attempt " + std::to_string(status_.attempts) + " is starting.";
    phase(Phase::kRunning, message);
    condition("Running", "True", "Starting", message);
    condition("Ready", "False", "Running", "The conversion is not finished.");
    announce(false, "Started", "The Job " + status_.job_name + " was started.");
    decision_.actions.emplace_back(CreateJob{status_.attempts, block_volumes(), work});
    decision_.place = Place::kHolds;
    if (auto limit = deadline()) look_again(until(*limit));
  }

  // --- an attempt is in flight ---
  void go_on() {
    decision_.place = Place::kHolds;
    const JobView* job = current_job();
    if (it_.spec.suspend) return suspend(job);
    if (seen_.refusal) return end_attempt(*seen_.refusal);
    const PodView* pod = current_pod();
    if (pod != nullptr) {
      if (!pod->node.empty()) status_.node = pod->node;
      if (auto result = result_of(*pod)) {
        if (result->success && work() == Work::kSurvey)
          plan(*result->success);
        else if (result->success && it_.spec.kubevirt)
          register_machine(*result->success);
        else if (result->success && it_.spec.libvirt)
          confirm_domain(*result->success);
        else if (result->success)
          succeed(*result->success);
        else
          end_attempt(*result->failure);
        return;
      }
    }
    if (auto limit = deadline()) {
      if (seen_.now >= *limit) return time_is_over();
      look_again(until(*limit));
    }
    if (job == nullptr) {
      if (status_.job_uid.empty()) {
        if (work() == Work::kSurvey || !it_.makes_a_claim_for_each_disk() || disk_claims_are_there())
          decision_.actions.emplace_back(CreateJob{status_.attempts, block_volumes(), work()});
        return;
      }
      return end_attempt({"JobDeleted", "", "Somebody deleted the Job " + status_.job_name + ".", true});
    }
    if (job->is_being_deleted)
      return end_attempt({"JobDeleted", "", "Somebody deleted the Job " + status_.job_name + ".", true});
    status_.job_uid = job->uid;
    if (job->is_finished()) {
      // Its pod is gone, and the result with it.
      return end_attempt({"PodLost", "",
                          "The runner's pod was deleted before its result could be read" +
                              (job->failure_message.empty() ? "." : ": " + job->failure_message + "."),
                          true});
    }
    tell_how_it_goes(pod);
  }

  // What the Job of the attempt in flight does.
  Work work() const {
    return status_.job_name == job_name(it_, status_.attempts, Work::kSurvey) ? Work::kSurvey
                                                                              : Work::kConvert;
  }

  // The survey is done: the attempt goes on with the conversion.
  void plan(const contract::TerminationResult& result) {
    if (auto problem = problem_of_survey(result)) return end_attempt(*problem);
    status_.disks = planned_disks(it_, result);
    status_.job_name = job_name(it_, status_.attempts);
    status_.job_uid.clear();
    status_.progress.reset();
    // The write of this status leads to the next step.
    tell_of_claims();
  }

  // told: of one that takes its time
  void tell_of_claims(const std::string& told = "") {
    std::string message = "The claims for " + std::to_string(status_.disks.size()) +
                          (status_.disks.size() == 1 ? " disk" : " disks") + " are being made.";
    if (!told.empty()) message += " " + told;
    phase(Phase::kRunning, message);
    condition("Running", "True", "MakingClaims", message);
  }

  // Makes what is missing. Where false is returned, something was said.
  bool disk_claims_are_there() {
    bool all = true;
    std::string told;
    for (std::size_t i = 0; i < status_.disks.size(); ++i) {
      const std::optional<Lack> lack = lack_of_disk_claim(seen_, i);
      if (!lack) continue;
      if (lack->remedy == Lack::Remedy::kPerson) {
        decision_.actions.clear();
        end_attempt({lack->reason, "", lack->message, false});
        return false;
      }
      if (lack->remedy == Lack::Remedy::kMake)
        decision_.actions.emplace_back(CreateDiskClaim{i});
      else if (told.empty())
        told = lack->message;
      all = false;
    }
    if (all) return true;
    tell_of_claims(told);
    look_again(it_.wants_data_volumes() ? kLookForDataVolume : seconds(1));
    return false;
  }

  void tell_how_it_goes(const PodView* pod) {
    if (pod == nullptr || pod->is_being_deleted) {
      std::string message = "The Job " + status_.job_name + " has no pod yet.";
      phase(Phase::kRunning, message);
      condition("Running", "True", "Starting", message);
      return;
    }
    if (auto obstacle = obstacle_of(*pod)) {
      auto before = kube::find_condition(status_.conditions, "Running");
      if (!before || before->reason != obstacle->reason) announce(true, obstacle->reason, obstacle->message);
      phase(Phase::kRunning, obstacle->message);
      condition("Running", "False", obstacle->reason, obstacle->message);
      return;
    }
    if (!pod->has_started) {
      std::string message = "The runner's pod " + pod->key.name + " is being started.";
      phase(Phase::kRunning, message);
      condition("Running", "True", "Starting", message);
      return;
    }
    decision_.follow = pod->key;
    if (seen_.progress) status_.progress = seen_.progress;
    const bool surveys = work() == Work::kSurvey;
    std::string message =
        (surveys ? "The input is looked at in the pod " : "The conversion runs in the pod ") + pod->key.name +
        ".";
    phase(Phase::kRunning, message);
    condition("Running", "True", surveys ? "Surveying" : "Converting", message);
  }

  void suspend(const JobView* job) {
    const char* message = "The runner is being stopped, because spec.suspend is true.";
    if (job != nullptr && !job->is_being_deleted)
      decision_.actions.emplace_back(DeleteJob{job->key, job->uid});
    bool has_pods = std::any_of(seen_.pods.begin(), seen_.pods.end(),
                                [&](const PodView& pod) { return pod.job_name == status_.job_name; });
    if (job != nullptr || has_pods) {
      phase(Phase::kRunning, message);
      condition("Running", "False", "Suspending", message);
      return;
    }
    // No failure: it starts from the beginning when it is resumed. How long it may take starts anew, too.
    status_.job_name.clear();
    status_.job_uid.clear();
    status_.start_time.clear();
    status_.progress.reset();
    decision_.place = Place::kNone;
    message = "spec.suspend is true.";
    phase(Phase::kSuspended, message);
    not_running("Suspended", message);
    announce(false, "Suspended", message);
  }

  // The disks are there. The attempt stays in flight until the machine is, so that a crash in between costs
  // nothing: the runner's result is read again.
  void register_machine(const contract::TerminationResult& result) {
    status_.failed_stage.clear();
    if (auto problem = problem_of_machine(it_, result)) return end_attempt(*problem);
    if (seen_.machine && seen_.machine->conversion_uid != it_.uid)
      return end_attempt({"MachineExists", "register",
                          "There is a VirtualMachine " + seen_.machine->key.name +
                              " already, which was not made by this conversion.",
                          false});
    if (seen_.machine) {
      condition("Registered", "True", "Succeeded",
                "The VirtualMachine " + seen_.machine->key.name + " was made.");
      return succeed(result);
    }
    Json machine;
    try {
      machine = make_machine(it_, *result.machine);
    } catch (const os::Error& error) {
      return end_attempt({"MachineRefused", "register", error.sentence(), false});
    }
    std::string message = "The VirtualMachine " + machine_key(it_).name + " is being made.";
    phase(Phase::kRunning, message);
    condition("Registered", "False", "Registering", message);
    for (const std::string& guess : kubevirt::guesses(*result.machine, *it_.spec.kubevirt))
      announce(true, "Guessed", guess);
    std::vector<std::string> preferences;
    if (it_.spec.kubevirt->preference_of_guest) preferences = kubevirt::preferences_for(*result.machine);
    decision_.actions.emplace_back(ApplyMachine{std::move(machine), std::move(preferences)});
    look_again(seconds(1));
  }

  // The runner has registered it, or there is none.
  void confirm_domain(const contract::TerminationResult& result) {
    if (made_nothing(result)) return succeed(result);
    if (result.domain.empty())
      return end_attempt({"NotRegistered", "register",
                          "The runner does not say which domain it made. Use a runner image of the "
                          "operator's own version.",
                          false});
    condition(
        "Registered", "True", "Succeeded",
        "The domain " + contract::printable(result.domain) + " was made at " + it_.spec.libvirt->uri + ".");
    succeed(result);
  }

  // --- the end ---
  void succeed(const contract::TerminationResult& result) {
    if (auto problem = problem_of_disks(result)) return end_attempt(*problem);
    status_.artifacts = artifacts_of(it_, result);
    status_.guest = guest_of(result);
    status_.target = target_of(it_, result);
    status_.job_name.clear();
    status_.job_uid.clear();
    status_.progress.reset();
    status_.completion_time = kube::to_time(seen_.now);
    std::string message = std::to_string(result.total_disks) +
                          (result.total_disks == 1 ? " disk is" : " disks are") + " in " + status_.target +
                          ".";
    phase(Phase::kSucceeded, message);
    condition("Running", "False", "Succeeded", message);
    condition("Converted", "True", "Succeeded", message);
    condition("Failed", "False", "Succeeded", message);
    condition("Ready", "True", "Succeeded", message);
    announce(false, "Succeeded", message);
    decision_.place = Place::kNone;
    if (it_.spec.ttl) look_again(std::max(seconds(1), *it_.spec.ttl));
  }

  // An attempt has failed: once more, or the end.
  void end_attempt(const Failure& failure) {
    status_.job_name.clear();
    status_.job_uid.clear();
    status_.progress.reset();
    status_.failed_stage = failure.stage;
    decision_.place = Place::kNone;
    fail(failure);
  }

  void fail(const Failure& failure) {
    ++status_.failures;
    bool again = failure.may_pass && status_.failures <= static_cast<std::int64_t>(it_.spec.retry_limit);
    if (!again) return fail_for_good(failure);
    seconds wait = it_.spec.retry_backoff;
    for (std::int64_t i = 1; i < status_.failures && wait < kLongestBackoff; ++i) wait *= 2;
    wait = std::min(wait, kLongestBackoff);
    status_.next_retry_time = kube::to_time(seen_.now + wait);
    std::string message =
        "It failed and is tried again at " + status_.next_retry_time + ": " + failure.message;
    phase(Phase::kPending, message);
    not_running(failure.reason, message);
    announce(true, failure.reason, message);
    look_again(wait);
  }

  void fail_for_good(const Failure& failure) {
    status_.completion_time = kube::to_time(seen_.now);
    status_.next_retry_time.clear();
    std::string message = failure.message;
    if (!failure.stage.empty()) message = "The stage " + failure.stage + " failed: " + message;
    phase(Phase::kFailed, message);
    condition("Running", "False", failure.reason, message);
    condition("Converted", "False", failure.reason, message);
    if (it_.spec.libvirt) condition("Registered", "False", failure.reason, message);
    condition("Ready", "False", failure.reason, message);
    condition("Failed", "True", failure.reason, message);
    announce(true, failure.reason, message);
    if (it_.spec.ttl) look_again(std::max(seconds(1), *it_.spec.ttl));
  }

  void time_is_over() {
    for (const JobView& job : seen_.jobs)
      if (!job.is_being_deleted) decision_.actions.emplace_back(DeleteJob{job.key, job.uid});
    end_attempt({"DeadlineExceeded", "",
                 "The conversion took longer than spec.timeout, " + it_.spec.timeout + ".", false});
  }

  const Observed& seen_;
  const Conversion& it_;
  Decision decision_;
  Status& status_;
};

}  // namespace

Decision decide(const Observed& observed) { return Deciding(observed).take(); }

}  // namespace hyper2kvm::conversion
