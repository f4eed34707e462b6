// The life of an operator's process: from its start, as one of several replicas, to its end in good order.
//
//   start     /healthz, /readyz and /metrics are served; the informers fill their caches, in every replica,
//   so
//             that one that takes over can work at once
//   wait      until this replica holds the lease and the caches are filled
//   work      the controllers run
//   drain     on the first SIGTERM: watches stop, no new keys are taken, what is queued is finished, the
//   lease
//             is released; all within 30 seconds, Kubernetes' usual grace period. A second signal ends the
//             process at once (os::stop_on_signals)
//
// A lease that is lost ends the process without draining: another replica works already, or soon, and
// whatever was about to be written no longer may be.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "operator/kube/client.h"
#include "operator/kube/controller.h"
#include "operator/kube/http_server.h"
#include "operator/kube/informer.h"
#include "operator/kube/leader_elector.h"
#include "operator/kube/logger.h"
#include "operator/kube/metrics.h"
#include "runner/os/stop.h"

namespace hyper2kvm::kube {

struct ManagerOptions {
  // Empty: not served.
  std::string metrics_address = ":8080";
  std::string health_address = ":8081";
  // None: this replica is the only one.
  std::optional<LeaderElectionOptions> election;
  // Of the 30 seconds that there are, what the controllers get to finish.
  std::chrono::seconds drain_time{20};
  Clock* clock = &Clock::real();  // not owned
};

class Manager {
 public:
  // The client is the one that the controllers write with: it is cut when the leadership is lost. metrics
  // must outlive the manager.
  Manager(Client client, ManagerOptions options, Metrics& metrics, Logger log);
  ~Manager();

  // --- before run() ---
  void add(std::shared_ptr<InformerBase> informer);
  void add(std::shared_ptr<Controller> controller);
  // Runs beside the controllers, on a thread of its own, while this replica is the leader. Must return soon
  // after its stop is requested; what it throws is logged, and it is started again a little later.
  void add_task(std::string name, std::function<void(const std::stop_token& stop)> task);

  // Until the stop is requested (returns) or the leadership is lost (throws os::Error, kSystem: exit and be
  // started again). Also throws when it cannot listen on its addresses. Once.
  void run(const os::StopToken& stop);

  // 0 where not served.
  std::uint16_t metrics_port() const;
  std::uint16_t health_port() const;

 private:
  struct Task;
  struct Servers;
  void serve();
  HttpReply readiness() const;
  bool informers_are_synced() const;
  void work(const os::StopToken& stop, const std::stop_token& leadership);
  void drain();

  Client client_;
  ManagerOptions options_;
  Metrics& metrics_;
  Logger log_;
  std::vector<std::shared_ptr<InformerBase>> informers_;
  std::vector<std::shared_ptr<Controller>> controllers_;
  std::vector<std::unique_ptr<Task>> tasks_;
  std::unique_ptr<Servers> servers_;
};

}  // namespace hyper2kvm::kube
