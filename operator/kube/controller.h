// Runs a reconcile function over the keys that changed.
//
// Reconciling is level-based: the function is told which object to look at, not what happened to it, and
// brings the world one step nearer to what the object asks for. It may be called at any time, any number of
// times. One key is never reconciled twice at once.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "operator/kube/logger.h"
#include "operator/kube/metrics.h"
#include "operator/kube/work_queue.h"

namespace hyper2kvm::kube {

struct ReconcileRequest {
  ObjectKey key;
  std::string reconcile_id;  // unique, in every line of this request's log
  Logger log;
  std::stop_token stop;  // the process ends: give up what waits
};

// When to look at the key again, if nothing changes until then.
struct ReconcileOutcome {
  static ReconcileOutcome done() { return {}; }
  static ReconcileOutcome again_after(Duration delay) { return {delay, false}; }
  // After the back-off of a failure, without being one: something is awaited that tells nobody when it comes.
  static ReconcileOutcome again() { return {std::nullopt, true}; }

  std::optional<Duration> after;
  bool with_backoff = false;
};

// Throws os::Error where it failed: the key comes back after its back-off.
using Reconcile = std::function<ReconcileOutcome(const ReconcileRequest& request)>;

struct ControllerOptions {
  std::string name;
  // What the objects are called, for the log: {"controller", "namespace", "name", "reconcileID"} and this.
  std::string kind;
  unsigned workers = 1;
  Backoff backoff = kKeyBackoff;
  Clock* clock = &Clock::real();  // not owned
};

class Controller {
 public:
  // metrics must outlive it.
  Controller(ControllerOptions options, Reconcile reconcile, Metrics& metrics, Logger log);
  ~Controller();

  const std::string& name() const { return options_.name; }
  // For whoever learns of a change: add(key). Keys that are added before start() wait.
  WorkQueue& queue() { return queue_; }

  // Starts the workers. Once.
  void start();
  // Takes no more keys in and waits until the workers have finished what is in the queue. False when that
  // takes longer than `patience`.
  bool drain(Duration patience);
  // Asks the workers to stop where they are, without waiting.
  void request_stop();
  // Waits until the workers have ended, after request_stop() or drain().
  void join();

  // One key, as a worker does it; for tests without threads.
  void reconcile(const ObjectKey& key);

 private:
  void work(const std::stop_token& stop);

  ControllerOptions options_;
  Reconcile reconcile_;
  ControllerMetrics& metrics_;
  Logger log_;
  WorkQueue queue_;
  std::stop_source stop_;
  std::vector<std::jthread> workers_;
};

}  // namespace hyper2kvm::kube
