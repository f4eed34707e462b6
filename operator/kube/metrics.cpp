#include "operator/kube/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <map>
#include <mutex>

#include "operator/kube/process_metrics.h"

namespace hyper2kvm::kube {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using Buckets = Histogram::BucketBoundaries;

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

// controller-runtime's
const Buckets kReconcileBuckets = {0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3,  0.35,
                                   0.4,   0.45, 0.5,   0.6,  0.7, 0.8,  0.9, 1,    1.25, 1.5,
                                   1.75,  2,    2.5,   3,    3.5, 4,    4.5, 5,    6,    7,
                                   8,     9,    10,    15,   20,  25,   30,  40,   50,   60};
const Buckets kQueueBuckets = {1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100, 1000};
// client-go's
const Buckets kRequestBuckets = {0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60};

std::string_view name_of(ReconcileResult result) {
  static constexpr std::string_view kNames[] = {"success", "error", "requeue", "requeue_after"};
  return kNames[static_cast<int>(result)];
}

struct Families {
  explicit Families(prometheus::Registry& registry)
      : reconciles(counter(registry, "controller_runtime_reconcile_total", "Reconciles, by their result.")),
        errors(counter(registry, "controller_runtime_reconcile_errors_total", "Reconciles that failed.")),
        times(histogram(registry, "controller_runtime_reconcile_time_seconds", "How long a reconcile took.")),
        max_workers(gauge(registry, "controller_runtime_max_concurrent_reconciles",
                          "How many reconciles may run at once.")),
        active_workers(gauge(registry, "controller_runtime_active_workers", "How many reconciles run now.")),
        depth(gauge(registry, "workqueue_depth", "Keys that are ready.")),
        adds(counter(registry, "workqueue_adds_total", "Keys that were added.")),
        waits(histogram(registry, "workqueue_queue_duration_seconds", "How long a key was ready.")),
        works(histogram(registry, "workqueue_work_duration_seconds", "How long a key was worked on.")),
        retries(counter(registry, "workqueue_retries_total", "Keys that were added again after a failure.")),
        requests(counter(registry, "rest_client_requests_total",
                         "Requests to the API server, by the code of the answer.")),
        request_times(histogram(registry, "rest_client_request_duration_seconds",
                                "How long an answer's headers took.")),
        leader(gauge(registry, "leader_election_master_status", "1 while this replica is the leader.")) {}

  static Family<Counter>& counter(prometheus::Registry& registry, const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
  }
  static Family<Gauge>& gauge(prometheus::Registry& registry, const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
  }
  static Family<Histogram>& histogram(prometheus::Registry& registry, const char* name, const char* help) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
  }

  Family<Counter>& reconciles;
  Family<Counter>& errors;
  Family<Histogram>& times;
  Family<Gauge>& max_workers;
  Family<Gauge>& active_workers;
  Family<Gauge>& depth;
  Family<Counter>& adds;
  Family<Histogram>& waits;
  Family<Histogram>& works;
  Family<Counter>& retries;
  Family<Counter>& requests;
  Family<Histogram>& request_times;
  Family<Gauge>& leader;
};

class OneController final : public ControllerMetrics {
 public:
  OneController(Families& families, const std::string& name, unsigned workers)
      : of_controller_{{"controller", name}},
        // Both labels, as newer and older dashboards select by either.
        of_queue_{{"name", name}, {"controller", name}},
        errors_(families.errors.Add(of_controller_)),
        time_(families.times.Add(of_controller_, kReconcileBuckets)),
        active_(families.active_workers.Add(of_controller_)),
        depth_(families.depth.Add(of_queue_)),
        adds_(families.adds.Add(of_queue_)),
        wait_(families.waits.Add(of_queue_, kQueueBuckets)),
        work_(families.works.Add(of_queue_, kQueueBuckets)),
        retries_(families.retries.Add(of_queue_)) {
    families.max_workers.Add(of_controller_).Set(workers);
    for (ReconcileResult result : {ReconcileResult::kSuccess, ReconcileResult::kError,
                                   ReconcileResult::kRequeue, ReconcileResult::kRequeueAfter})
      results_[result] =
          &families.reconciles.Add({{"controller", name}, {"result", std::string(name_of(result))}});
  }

  void reconcile_started() override { active_.Increment(); }
  void reconcile_finished(ReconcileResult result, Duration time) override {
    active_.Decrement();
    time_.Observe(seconds(time));
    results_.at(result)->Increment();
    if (result == ReconcileResult::kError) errors_.Increment();
  }
  void added(std::size_t depth) override {
    adds_.Increment();
    depth_.Set(static_cast<double>(depth));
  }
  void taken(std::size_t depth, Duration waited) override {
    depth_.Set(static_cast<double>(depth));
    wait_.Observe(seconds(waited));
  }
  void finished(Duration worked) override { work_.Observe(seconds(worked)); }
  void retried() override { retries_.Increment(); }

 private:
  const prometheus::Labels of_controller_;
  const prometheus::Labels of_queue_;
  Counter& errors_;
  Histogram& time_;
  Gauge& active_;
  Gauge& depth_;
  Counter& adds_;
  Histogram& wait_;
  Histogram& work_;
  Counter& retries_;
  std::map<ReconcileResult, Counter*> results_;
};

}  // namespace

struct Metrics::Parts {
  prometheus::Registry registry;
  Families families{registry};
  std::mutex mutex;
  std::map<std::string, std::unique_ptr<OneController>> controllers;
  std::vector<std::weak_ptr<prometheus::Collectable>> others;
};

Metrics::Metrics(const std::string& host) : parts_(std::make_unique<Parts>()) {
  if (host.empty()) return;
  static constexpr std::pair<const char*, const char*> kUsual[] = {
      {"GET", "200"}, {"GET", "404"}, {"POST", "201"},  {"POST", "409"},
      {"PUT", "200"}, {"PUT", "409"}, {"PATCH", "200"}, {"DELETE", "200"}};
  for (const auto& [method, code] : kUsual) {
    parts_->families.requests.Add({{"code", code}, {"method", method}, {"host", host}});
    parts_->families.request_times.Add({{"method", method}, {"host", host}}, kRequestBuckets);
  }
}

Metrics::~Metrics() = default;

ControllerMetrics& Metrics::controller(const std::string& name, unsigned workers) {
  std::lock_guard lock(parts_->mutex);
  auto& controller = parts_->controllers[name];
  if (!controller) controller = std::make_unique<OneController>(parts_->families, name, workers);
  return *controller;
}

void Metrics::count_request(const RequestRecord& record) {
  // client-go's word for a request without an answer.
  std::string code = record.code == 0 ? "<error>" : std::to_string(record.code);
  parts_->families.requests.Add({{"code", code}, {"method", record.method}, {"host", record.host}})
      .Increment();
  parts_->families.request_times.Add({{"method", record.method}, {"host", record.host}}, kRequestBuckets)
      .Observe(record.time.count());
}

void Metrics::set_leader(const std::string& lease, bool is_leader) {
  parts_->families.leader.Add({{"name", lease}}).Set(is_leader ? 1 : 0);
}

prometheus::Registry& Metrics::registry() { return parts_->registry; }

void Metrics::add(const std::weak_ptr<prometheus::Collectable>& collectable) {
  std::lock_guard lock(parts_->mutex);
  parts_->others.push_back(collectable);
}

std::string Metrics::text() const {
  std::vector<prometheus::MetricFamily> all = parts_->registry.Collect();
  std::vector<std::shared_ptr<prometheus::Collectable>> others;
  {
    std::lock_guard lock(parts_->mutex);
    for (const auto& other : parts_->others)
      if (auto held = other.lock()) others.push_back(std::move(held));
  }
  for (const auto& other : others)
    for (auto& family : other->Collect()) all.push_back(std::move(family));
  for (auto& family : process_metrics()) all.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(all);
}

}  // namespace hyper2kvm::kube
