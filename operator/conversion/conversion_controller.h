// Looks at the world, asks decide() what to do, and does it: the only part of the operator that talks to the
// API server about conversions.
//
// Two replicas, a crash and a stale cache must not start a conversion twice. What makes that so: a Job's name
// follows from the conversion's UID and the number of the attempt; the status that starts an attempt is
// refused by the server unless it is based on the newest version of the conversion; and a Job that is made
// without such a write is made only after the newest version was read.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "operator/conversion/manifests.h"
#include "operator/kube/client.h"
#include "operator/kube/manager.h"

namespace hyper2kvm::conversion {

struct ConversionControllerOptions {
  std::vector<std::string> namespaces;  // empty: all
  RunnerDefaults runner;
  std::size_t max_running = 4;           // 0: no limit
  std::size_t max_running_per_node = 0;  // 0: no limit
  std::string host;                      // who reports events
  unsigned workers = 4;
  std::chrono::milliseconds progress_interval{5000};
  kube::Clock* clock = &kube::Clock::real();  // not owned
};

class ConversionController {
 public:
  // metrics must outlive it.
  ConversionController(const kube::Client& client, ConversionControllerOptions options,
                       kube::Metrics& metrics, const kube::Logger& log);
  ~ConversionController();

  // Before manager.run(), during which this must live.
  void add_to(kube::Manager& manager);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace hyper2kvm::conversion
