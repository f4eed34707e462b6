// Which of several replicas works: the one that holds a Lease (coordination.k8s.io/v1).
//
// The holder renews the lease every few seconds. The others watch it change; when it has not changed for its
// whole duration, they take it. Nobody compares calendars: each replica measures with its own clock since it
// last saw the lease change, so clocks that disagree do no harm. A holder that could not renew in time stops
// on its own, and it stops (renew_deadline) before anybody else may take over (duration).
//
// This file is the rules, as pure functions; leader_elector.h does what they say. Source: client-go's
// leaderelection, whose leases these are: replicas of both kinds would respect each other.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "operator/kube/clock.h"
#include "operator/kube/object.h"

namespace hyper2kvm::kube {

struct ElectionTimes {
  // How long a lease that is not renewed still counts.
  std::chrono::seconds duration{15};
  // How long the holder tries to renew before it gives up being the leader.
  std::chrono::seconds renew_deadline{10};
  // Between two looks, or two renewals. Replicas that wait add up to a fifth at random.
  std::chrono::seconds retry{2};
};

// The spec of a Lease, as we read and write it.
struct LeaseRecord {
  std::string holder;  // empty: released
  std::chrono::seconds duration{};
  std::string acquire_time;  // MicroTime
  std::string renew_time;    // MicroTime
  std::int64_t transitions = 0;

  bool operator==(const LeaseRecord&) const = default;
};

LeaseRecord lease_record(const Json& lease);
// Writes the record into a lease, new or read before.
void set_lease_record(Json& lease, const LeaseRecord& record);

struct ElectionState {
  std::string identity;  // of this replica, unique
  ElectionTimes times;
  // The record last seen, and when on our own clock it was first seen like this.
  std::optional<LeaseRecord> seen;
  Time seen_at{};
  bool is_leader = false;
  Time renewed_at{};  // when the last renewal that succeeded was begun
};

enum class ElectionAction {
  kWait,    // somebody else holds it
  kCreate,  // there is no lease yet
  kTake,    // it is released, or its holder is gone
  kRenew,   // it is ours
};

// lease: as it was read just now; nothing where there is none. Notes what was seen.
ElectionAction decide(ElectionState& state, const std::optional<LeaseRecord>& lease, Time now);
// The record to write for kCreate, kTake or kRenew.
LeaseRecord next_record(const ElectionState& state, ElectionAction action, Calendar calendar);
// The record was written; `begun` is from before the request, so that a slow answer counts against us.
void written(ElectionState& state, const LeaseRecord& record, Time begun);
// After kWait: how long until the lease that was seen has run out, and may be taken.
Duration until_expiry(const ElectionState& state, Time now);
// Must this leader stop? It could not renew in time.
bool has_lost(const ElectionState& state, Time now);
// What a leader that ends in good order leaves behind: the next one need not wait.
LeaseRecord released_record(const ElectionState& state, Calendar calendar);

}  // namespace hyper2kvm::kube
