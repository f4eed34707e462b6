// Holds a Lease by the rules of election.h: reads, writes, waits.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "operator/kube/client.h"
#include "operator/kube/election.h"
#include "operator/kube/logger.h"

namespace hyper2kvm::kube {

struct LeaderElectionOptions {
  std::string name_space;
  std::string name;
  // Unique for each process, also for two runs of one container: see unique_identity().
  std::string identity;
  ElectionTimes times;
};

// "HOSTNAME_RANDOM"; a pod's host name is its own name.
std::string unique_identity();

// Used by one thread; is_leader() by any.
class LeaderElector {
 public:
  // The elector talks over a client of its own, whose requests never last beyond the renew deadline.
  LeaderElector(const Client& client, LeaderElectionOptions options, Logger log, Clock& clock = Clock::real(),
                std::function<double()> random = nullptr);

  // Waits until this replica is the leader. False when the stop was requested first. Failures are logged and
  // tried again.
  bool acquire(const std::stop_token& stop);
  // Renews until the stop is requested (true) or the leadership is lost (false).
  bool hold(const std::stop_token& stop);
  // Gives the lease up, if it is ours. To be called when nothing is left that works as the leader.
  void release();

  bool is_leader() const { return is_leader_; }

 private:
  Client limited(const std::stop_token& stop) const;
  void try_once(const std::stop_token& stop);
  std::optional<Json> read(const std::stop_token& stop);

  const Client client_;
  LeaderElectionOptions options_;
  Logger log_;
  Clock& clock_;
  std::function<double()> random_;
  ElectionState state_;
  // The lease as we wrote it last, to renew it without reading it first.
  std::optional<Json> ours_;
  std::string holder_;  // as last logged
  std::atomic<bool> is_leader_ = false;
};

}  // namespace hyper2kvm::kube
