// The dispatcher's first step: from a file in the queue to a job that is durable and may be started.
#include <fmt/format.h>

#include "runner/daemon/claim.h"
#include "runner/daemon/dispatcher.h"
#include "runner/daemon/names.h"
#include "runner/os/error.h"

namespace hyper2kvm::daemon {
namespace {

using os::Error;
using os::ErrorKind;

constexpr std::chrono::milliseconds kAdmissionSlice{5};

}  // namespace

Readiness Dispatcher::take(const std::string& file_name, const Writer& writer) {
  Submission submission = look(journal_.watch_dir() / file_name, writer);
  if (submission.readiness == Readiness::kRefused) {
    std::filesystem::path where = journal_.refuse(file_name, submission.reason);
    statistics_.count_refused();
    log_.error(fmt::format("{} It was moved to {}.", submission.reason, where.string()),
               {.vm = submission.vm_name.value_or("")});
    if (submission.vm_name) {
      Job nobody;
      nobody.result_name = result_name(*submission.vm_name).name;
      nobody.error = submission.reason;
      publish_failure(settings_.output_dir, nobody);
    }
  }
  if (submission.readiness != Readiness::kReady) return submission.readiness;
  for (const std::string& id : undone_) {
    auto claimed = jobs_.find(id);
    if (claimed != jobs_.end() && claimed->second.phase == Phase::kClaimed &&
        claimed->second.file_name == file_name && claimed->second.file == submission.file)
      return Readiness::kNotYet;  // it is a job already, and its last step could not be taken
  }
  Job fresh = begin_claim(journal_, file_name, submission);
  Job& taken = jobs_.emplace(fresh.id, std::move(fresh)).first->second;
  try {
    bring_in(taken, true);
  } catch (...) {
    undone_.insert(taken.id);
    throw;
  }
  log_.info(
      fmt::format("{} was taken: {} disk(s), {} bytes.", file_name, taken.disks.size(), taken.source_bytes),
      fields_of(taken));
  for (const std::string& warning : taken.warnings) log_.warning(warning, fields_of(taken));
  return Readiness::kReady;
}

// The results of an earlier job are gone before the manifest leaves the queue: whoever waits for that and
// then looks for results finds this job's. After a crash they are left alone where it had left the queue:
// they may be younger.
void Dispatcher::bring_in(Job& claimed, bool is_new) {
  if (is_new || is_in_queue(journal_, claimed)) {
    if (auto kept = remove_stale_results(settings_.output_dir, claimed))
      log_.warning(fmt::format("{}.qcow2 was the only name of an image; it is {} now.", claimed.result_name,
                               kept->string()),
                   fields_of(claimed));
  }
  // Where it was overwritten at once, our copy is all that there is of it.
  if (!take_out(journal_, claimed) && is_new) make_claim_durable(journal_, claimed.id);
  claim_sync_.add(claimed.id);
}

void Dispatcher::admit(Job& claimed) {
  std::string second = settle_claim(journal_, claimed);
  if (!second.empty())
    log_.info(
        fmt::format("{} was written again while it was taken; the new one is {}.", claimed.file_name, second),
        fields_of(claimed));
  claimed.phase = Phase::kQueued;
  if (claimed.cancel_requested) end_cancelled(claimed);
}

// In slices too: hundreds may become durable together.
bool Dispatcher::take_durable_claims() {
  for (ClaimSync::Outcome& outcome : claim_sync_.take_outcomes())
    durable_claims_.push_back(std::move(outcome));
  bool any = false;
  auto begin = std::chrono::steady_clock::now();
  while (!durable_claims_.empty() && std::chrono::steady_clock::now() - begin < kAdmissionSlice) {
    ClaimSync::Outcome outcome = std::move(durable_claims_.front());
    durable_claims_.pop_front();
    auto found = jobs_.find(outcome.job);
    if (found == jobs_.end() || found->second.phase != Phase::kClaimed) continue;
    try {
      if (!outcome.error.empty()) throw Error(ErrorKind::kSystem, "job " + outcome.job, outcome.error);
      admit(found->second);
      any = true;
    } catch (const Error& error) {
      undone_.insert(outcome.job);
      log_.error(error.sentence(), fields_of(found->second));
    }
  }
  return any;
}

}  // namespace hyper2kvm::daemon
