#include "operator/kube/election.h"

#include <algorithm>

#include "operator/kube/timestamp.h"

namespace hyper2kvm::kube {

LeaseRecord lease_record(const Json& lease) {
  LeaseRecord record;
  record.holder = text_at(lease, {"spec", "holderIdentity"});
  // A duration out of reason must not keep everybody out for ever.
  record.duration = std::chrono::seconds(
      std::clamp<std::int64_t>(integer_at(lease, {"spec", "leaseDurationSeconds"}), 0, 3600));
  record.acquire_time = text_at(lease, {"spec", "acquireTime"});
  record.renew_time = text_at(lease, {"spec", "renewTime"});
  record.transitions = integer_at(lease, {"spec", "leaseTransitions"});
  return record;
}

void set_lease_record(Json& lease, const LeaseRecord& record) {
  lease["spec"]["holderIdentity"] = record.holder;
  lease["spec"]["leaseDurationSeconds"] = record.duration.count();
  lease["spec"]["acquireTime"] = record.acquire_time;
  lease["spec"]["renewTime"] = record.renew_time;
  lease["spec"]["leaseTransitions"] = record.transitions;
}

ElectionAction decide(ElectionState& state, const std::optional<LeaseRecord>& lease, Time now) {
  if (!lease) {
    state.seen.reset();
    return ElectionAction::kCreate;  // a leader whose lease was deleted makes it again
  }
  if (state.seen != lease) {
    state.seen = lease;
    state.seen_at = now;
  }
  if (lease->holder == state.identity) return ElectionAction::kRenew;
  if (lease->holder.empty()) return ElectionAction::kTake;
  state.is_leader = false;
  // The holder's own promise counts, as it is what the holder acts on.
  if (now - state.seen_at > lease->duration) return ElectionAction::kTake;
  return ElectionAction::kWait;
}

LeaseRecord next_record(const ElectionState& state, ElectionAction action, Calendar calendar) {
  LeaseRecord record;
  record.holder = state.identity;
  record.duration = state.times.duration;
  record.renew_time = to_micro_time(calendar);
  record.acquire_time = record.renew_time;
  if (!state.seen || action == ElectionAction::kCreate) return record;
  record.transitions = state.seen->transitions;
  if (action == ElectionAction::kRenew)
    record.acquire_time = state.seen->acquire_time;
  else
    ++record.transitions;
  return record;
}

void written(ElectionState& state, const LeaseRecord& record, Time begun) {
  state.seen = record;
  state.seen_at = begun;
  state.is_leader = record.holder == state.identity;
  state.renewed_at = begun;
}

Duration until_expiry(const ElectionState& state, Time now) {
  if (!state.seen) return {};
  return std::max<Duration>(state.seen_at + state.seen->duration - now, Duration::zero());
}

bool has_lost(const ElectionState& state, Time now) {
  return state.is_leader && now - state.renewed_at > state.times.renew_deadline;
}

LeaseRecord released_record(const ElectionState& state, Calendar calendar) {
  LeaseRecord record = state.seen.value_or(LeaseRecord{});
  record.holder.clear();
  record.duration = std::chrono::seconds(1);
  record.renew_time = to_micro_time(calendar);
  record.acquire_time = record.renew_time;
  return record;
}

}  // namespace hyper2kvm::kube
