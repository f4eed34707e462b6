// What the runtime counts, for Prometheus, under the names of controller-runtime and client-go, which
// dashboards and alerts know already. Everything that can be known beforehand exists from the start with 0: a
// rate over a counter that appears at 1 misses the first failure.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "operator/kube/client.h"
#include "operator/kube/work_queue.h"

namespace prometheus {
class Registry;
class Collectable;
}  // namespace prometheus

namespace hyper2kvm::kube {

enum class ReconcileResult { kSuccess, kError, kRequeue, kRequeueAfter };

// Of one controller. Safe to call from any thread.
class ControllerMetrics : public WorkQueueObserver {
 public:
  virtual void reconcile_started() = 0;
  virtual void reconcile_finished(ReconcileResult result, Duration time) = 0;
};

// Safe to use from any thread. Owns everything that it hands out.
class Metrics {
 public:
  // host: of the API server.
  explicit Metrics(const std::string& host = "");
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // controller_runtime_* and workqueue_* of this controller.
  ControllerMetrics& controller(const std::string& name, unsigned workers);
  // rest_client_requests_total{code,method,host} and rest_client_request_duration_seconds{method,host}.
  void count_request(const RequestRecord& record);
  // leader_election_master_status{name}: 1 while this replica is the leader.
  void set_leader(const std::string& lease, bool is_leader);

  // For metrics of one's own. add() is for what is computed when it is asked for; not owned.
  prometheus::Registry& registry();
  void add(const std::weak_ptr<prometheus::Collectable>& collectable);
  // All of it, with process_*, in the text format (version 0.0.4).
  std::string text() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace hyper2kvm::kube
