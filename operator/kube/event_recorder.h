// Writes Events, beside the work: recording one never waits for the network and never fails.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "operator/kube/client.h"
#include "operator/kube/event_aggregator.h"
#include "operator/kube/logger.h"

namespace hyper2kvm::kube {

// record() may be called from any thread. Events are for people who watch an object: to be recorded on
// transitions only, by whoever decides them.
class EventRecorder {
 public:
  EventRecorder(const Client& client, std::string component, std::string host, Logger log,
                Clock& clock = Clock::real());
  // Writes what is left, for at most a few seconds.
  ~EventRecorder();

  // Dropped, with a log line, where 256 are waiting already.
  void record(Happening happening);
  // Waits until everything that was recorded is written or given up. False when that takes longer.
  bool flush(Duration patience);

 private:
  void run(const std::stop_token& stop);
  void write(const EventWrite& write, const Client& client);

  Client client_;
  Logger log_;
  Clock& clock_;
  EventAggregator aggregator_;  // of the thread
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Happening> waiting_;
  bool is_writing_ = false;
  std::jthread thread_;
};

}  // namespace hyper2kvm::kube
