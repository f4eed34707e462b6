#include "operator/kube/leader_elector.h"

#include <unistd.h>

#include <algorithm>

#include "operator/kube/backoff.h"
#include "operator/kube/text.h"

namespace hyper2kvm::kube {
namespace {

Client with_timeout(const Client& client, Duration timeout) {
  Client::Options options = client.options();
  options.timeout =
      std::max(std::chrono::ceil<std::chrono::milliseconds>(timeout), std::chrono::milliseconds(1));
  options.retries = 0;  // the next look is a retry
  return client.separate(std::move(options));
}

}  // namespace

std::string unique_identity() {
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  return std::string(host) + "_" + random_hex(16);
}

LeaderElector::LeaderElector(const Client& client, LeaderElectionOptions options, Logger log, Clock& clock,
                             std::function<double()> random)
    : client_(with_timeout(client, options.times.renew_deadline / 2)),
      options_(std::move(options)),
      log_(log.with({{"lease", ObjectKey{options_.name_space, options_.name}.to_string()}})),
      clock_(clock),
      random_(random ? std::move(random) : random_unit) {
  state_.identity = options_.identity;
  state_.times = options_.times;
}

// For one request. A leader's must be over when it has to be none any more.
Client LeaderElector::limited(const std::stop_token& stop) const {
  if (!state_.is_leader) return client_.bound_to(stop);
  Duration left = state_.renewed_at + state_.times.renew_deadline - clock_.now();
  return with_timeout(client_, std::min<Duration>(left, options_.times.renew_deadline / 2)).bound_to(stop);
}

std::optional<Json> LeaderElector::read(const std::stop_token& stop) {
  if (state_.is_leader && ours_) return ours_;
  return limited(stop).find(types::kLeases, {options_.name_space, options_.name});
}

// One look at the lease, and what follows from it.
void LeaderElector::try_once(const std::stop_token& stop) {
  std::optional<Json> lease = read(stop);
  Time begun = clock_.now();
  std::optional<LeaseRecord> record = lease ? std::optional(lease_record(*lease)) : std::nullopt;
  ElectionAction action = decide(state_, record, begun);
  if (record && record->holder != holder_) {
    holder_ = record->holder;
    log_.info("the leader is known", {{"leader", holder_}});
  }
  if (action == ElectionAction::kWait) return;

  LeaseRecord next = next_record(state_, action, clock_.calendar());
  Json wanted =
      lease.value_or(Json{{"apiVersion", types::kLeases.api_version()},
                          {"kind", types::kLeases.kind},
                          {"metadata", {{"name", options_.name}, {"namespace", options_.name_space}}}});
  set_lease_record(wanted, next);
  // Whatever goes wrong from here on: what we know of the lease may be old.
  ours_.reset();
  // The resource version in it makes sure that nobody else has written meanwhile.
  ours_ = lease ? limited(stop).update(types::kLeases, wanted) : limited(stop).create(types::kLeases, wanted);
  written(state_, next, begun);
}

bool LeaderElector::acquire(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    try {
      try_once(stop);
    } catch (const os::Error& error) {
      if (error.kind() == os::ErrorKind::kCancelled) return false;
      log_.warning("cannot acquire the lease yet", {{"error", error.sentence()}});
    }
    if (state_.is_leader) {
      is_leader_ = true;
      log_.info("this replica is the leader now", {{"identity", options_.identity}});
      return true;
    }
    Duration wait = options_.times.retry;
    wait += Duration(static_cast<Duration::rep>(static_cast<double>(wait.count()) * 0.2 * random_()));
    // Not a moment longer than the lease of one that is gone.
    if (Duration left = until_expiry(state_, clock_.now()); left > Duration::zero())
      wait = std::min<Duration>(wait, left + std::chrono::milliseconds(10));
    clock_.sleep(wait, stop);
  }
  return false;
}

bool LeaderElector::hold(const std::stop_token& stop) {
  while (clock_.sleep(options_.times.retry, stop)) {
    std::string problem;
    if (!has_lost(state_, clock_.now())) {
      try {
        try_once(stop);
      } catch (const os::Error& error) {
        if (error.kind() == os::ErrorKind::kCancelled) return true;
        problem = error.sentence();
        log_.warning("cannot renew the lease", {{"error", problem}});
      }
    }
    if (!state_.is_leader || has_lost(state_, clock_.now())) {
      is_leader_ = state_.is_leader = false;
      log_.error("the leadership is lost", {{"error", problem}});
      return false;
    }
  }
  return true;
}

void LeaderElector::release() {
  if (!state_.is_leader) return;
  is_leader_ = state_.is_leader = false;
  try {
    // Read again: to give up what somebody else holds by now would be worse than to let it run out.
    std::optional<Json> lease = client_.find(types::kLeases, {options_.name_space, options_.name});
    if (!lease || lease_record(*lease).holder != options_.identity) return;
    state_.seen = lease_record(*lease);
    set_lease_record(*lease, released_record(state_, clock_.calendar()));
    client_.update(types::kLeases, *lease);
    log_.info("the lease is released");
  } catch (const os::Error& error) {
    log_.warning("cannot release the lease; it runs out by itself", {{"error", error.sentence()}});
  }
}

}  // namespace hyper2kvm::kube
