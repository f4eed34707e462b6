// Prometheus metrics over HTTP at METRICS_ADDRESS; off where that is empty. The names are in docs/daemon.md.
//
// update() copies the daemon's numbers into the gauges and counters; the library's own threads serve them.
// update() is called from the daemon's thread only. Throws os::Error where the address cannot be had.
#pragma once

#include <memory>
#include <string>

#include "runner/daemon/statistics.h"

namespace hyper2kvm::daemon {

struct Gauges {
  std::size_t queued = 0, running = 0;
  bool paused = false;
  std::uint64_t free_bytes = 0;  // on the file system of OUTPUT_DIR
  double bytes_per_second = 0;   // of all running conversions
};

class Metrics {
 public:
  Metrics(const std::string& address, const std::string& instance);
  ~Metrics();
  void update(const Totals& totals, const Gauges& gauges);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hyper2kvm::daemon
