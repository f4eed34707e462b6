#include "operator/kube/controller.h"

#include "operator/kube/api_error.h"
#include "operator/kube/text.h"

namespace hyper2kvm::kube {

Controller::Controller(ControllerOptions options, Reconcile reconcile, Metrics& metrics, Logger log)
    : options_(std::move(options)),
      reconcile_(std::move(reconcile)),
      metrics_(metrics.controller(options_.name, options_.workers)),
      log_(log.with({{"controller", options_.name}, {"controllerKind", options_.kind}})),
      queue_(options_.backoff, &metrics_, *options_.clock) {}

Controller::~Controller() { join(); }

void Controller::start() {
  for (unsigned i = 0; i < options_.workers; ++i)
    workers_.emplace_back([this, stop = stop_.get_token()] { work(stop); });
}

void Controller::work(const std::stop_token& stop) {
  while (auto key = queue_.take(stop)) {
    reconcile(*key);
    queue_.done(*key);
  }
}

void Controller::reconcile(const ObjectKey& key) {
  ReconcileRequest request{key, random_hex(16), log_, stop_.get_token()};
  request.log =
      log_.with({{"namespace", key.name_space}, {"name", key.name}, {"reconcileID", request.reconcile_id}});
  Time started = options_.clock->now();
  metrics_.reconcile_started();
  ReconcileResult result = ReconcileResult::kError;
  auto failed = [&](const std::string& sentence) {
    request.log.error("reconcile failed", {{"error", sentence}, {"failures", queue_.failures(key) + 1}});
    queue_.add_after_failure(key);
  };
  try {
    ReconcileOutcome outcome = reconcile_(request);
    if (outcome.with_backoff) {
      result = ReconcileResult::kRequeue;
      queue_.add_after_failure(key);
    } else {
      result = outcome.after ? ReconcileResult::kRequeueAfter : ReconcileResult::kSuccess;
      queue_.forget(key);
      if (outcome.after) queue_.add_after(key, *outcome.after);
    }
  } catch (const ApiError& error) {
    if (error.is_conflict()) {
      // Decided on an old version of the object: the ordinary course of things among several writers.
      request.log.info("the object has changed meanwhile; looking again", {{"error", error.sentence()}});
      result = ReconcileResult::kRequeue;
      queue_.add_after_failure(key);
    } else {
      failed(error.sentence());
    }
  } catch (const os::Error& error) {
    // What is given up because the process ends is no failure of the key.
    if (error.kind() == os::ErrorKind::kCancelled && request.stop.stop_requested())
      request.log.info("reconcile was given up: the program stops");
    else
      failed(error.sentence());
  } catch (const std::exception& error) {
    failed(std::string("internal error: ") + error.what());
  }
  metrics_.reconcile_finished(result, options_.clock->now() - started);
}

bool Controller::drain(Duration patience) {
  queue_.shut_down();
  return workers_.empty() || queue_.wait_until_idle(patience);
}

void Controller::request_stop() { stop_.request_stop(); }

void Controller::join() {
  request_stop();
  workers_.clear();
}

}  // namespace hyper2kvm::kube
