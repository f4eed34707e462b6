#include "runner/daemon/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <exception>

#include "runner/contract/version.h"
#include "runner/os/error.h"

namespace hyper2kvm::daemon {

struct Metrics::State {
  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  std::unique_ptr<prometheus::Exposer> exposer;
  prometheus::Counter *done, *failed, *cancelled, *refused, *attempts, *interruptions;
  prometheus::Counter *source_bytes, *output_bytes, *seconds;
  prometheus::Gauge *queued, *running, *paused, *free_bytes, *rate;
};

Metrics::Metrics(const std::string& address, const std::string& instance)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  prometheus::Labels own{{"instance_name", instance.empty() ? "default" : instance}};
  auto counter = [&](const char* name, const char* help, prometheus::Labels labels = {}) {
    return &prometheus::BuildCounter().Name(name).Help(help).Labels(own).Register(*s.registry).Add(labels);
  };
  auto gauge = [&](const char* name, const char* help, prometheus::Labels labels = {}) {
    return &prometheus::BuildGauge().Name(name).Help(help).Labels(own).Register(*s.registry).Add(labels);
  };
  const char* jobs = "hyper2kvm_jobs_total";
  const char* jobs_help = "Jobs that have ended, by outcome.";
  s.done = counter(jobs, jobs_help, {{"outcome", "done"}});
  s.failed = counter(jobs, jobs_help, {{"outcome", "failed"}});
  s.cancelled = counter(jobs, jobs_help, {{"outcome", "cancelled"}});
  s.refused = counter("hyper2kvm_refused_files_total", "Files in the queue that were no manifest.");
  s.attempts = counter("hyper2kvm_attempts_total", "Attempts of the jobs that have ended.");
  s.interruptions = counter("hyper2kvm_interruptions_total", "Attempts that a stop of the daemon cut off.");
  s.source_bytes = counter("hyper2kvm_source_bytes_total", "Bytes of the disk files that were converted.");
  s.output_bytes = counter("hyper2kvm_output_bytes_total", "Bytes that the results take up.");
  s.seconds = counter("hyper2kvm_conversion_seconds_total", "Seconds that successful conversions took.");
  s.queued = gauge("hyper2kvm_jobs", "Jobs that have not ended, by state.", {{"state", "queued"}});
  s.running = gauge("hyper2kvm_jobs", "Jobs that have not ended, by state.", {{"state", "running"}});
  s.paused = gauge("hyper2kvm_paused", "1 while the queue is paused.");
  s.free_bytes = gauge("hyper2kvm_output_free_bytes", "Free bytes on the file system of OUTPUT_DIR.");
  s.rate = gauge("hyper2kvm_bytes_per_second", "Bytes a second that the running conversions read.");
  gauge("hyper2kvm_build_info", "1; the version is a label.",
        {{"version", std::string(contract::hyper2kvm_version())}})
      ->Set(1);
  try {
    s.exposer = std::make_unique<prometheus::Exposer>(address, 1);
    s.exposer->RegisterCollectable(s.registry);
  } catch (const std::exception& error) {
    throw os::Error(os::ErrorKind::kUsage, "METRICS_ADDRESS",
                    "cannot be listened on: " + address + " (" + error.what() + ")",
                    "Choose a free port of this host, another one for each instance.");
  }
}

Metrics::~Metrics() = default;

void Metrics::update(const Totals& totals, const Gauges& gauges) {
  State& s = *state_;
  auto raise = [](prometheus::Counter* counter, double to) {
    if (to > counter->Value()) counter->Increment(to - counter->Value());
  };
  raise(s.done, static_cast<double>(totals.done));
  raise(s.failed, static_cast<double>(totals.failed));
  raise(s.cancelled, static_cast<double>(totals.cancelled));
  raise(s.refused, static_cast<double>(totals.refused));
  raise(s.attempts, static_cast<double>(totals.attempts));
  raise(s.interruptions, static_cast<double>(totals.interruptions));
  raise(s.source_bytes, static_cast<double>(totals.source_bytes));
  raise(s.output_bytes, static_cast<double>(totals.output_bytes));
  raise(s.seconds, totals.conversion_seconds);
  s.queued->Set(static_cast<double>(gauges.queued));
  s.running->Set(static_cast<double>(gauges.running));
  s.paused->Set(gauges.paused ? 1 : 0);
  s.free_bytes->Set(static_cast<double>(gauges.free_bytes));
  s.rate->Set(gauges.bytes_per_second);
}

}  // namespace hyper2kvm::daemon
