// Does what reflector_state.h decides: lists, watches, waits, and hands every object to a sink.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>

#include "operator/kube/backoff.h"
#include "operator/kube/client.h"
#include "operator/kube/logger.h"
#include "operator/kube/reflector_state.h"

namespace hyper2kvm::kube {

// What is made of the objects. Called from the reflector's thread only; must not throw.
class ReflectorSink {
 public:
  virtual ~ReflectorSink() = default;
  // An object of a list that is still being read. The same object may come twice.
  virtual void stage(Json&& object) = 0;
  // The list will be read again from its beginning.
  virtual void discard_staged() = 0;
  // The list is complete: what was staged is all there is.
  virtual void commit_staged() = 0;
  // One change; never a bookmark.
  virtual void apply(WatchEventType type, Json&& object) = 0;
};

class Reflector {
 public:
  struct Options {
    Backoff backoff = kWatchBackoff;
    unsigned page_size = 500;
    Clock* clock = &Clock::real();                 // not owned
    std::function<double()> random = random_unit;  // for the back-off's jitter
  };
  // sink is not owned.
  Reflector(Client client, ResourceType type, Selection selection, ReflectorSink& sink, Logger log,
            Options options);

  // Until the stop is requested. Throws nothing.
  void run(const std::stop_token& stop);

  // The two below may be called from any thread.
  bool is_synced() const { return is_synced_; }
  // Why there is nothing yet, or nothing new: the last failure's sentence. Empty while all is well.
  std::string problem() const;

 private:
  ReflectorInput call(const Client& client, const ReflectorState& state, std::optional<WatchStream>& watch,
                      std::optional<Json>& object);
  void report(ReflectorEffects::Report report, const ReflectorState& state);
  void set_problem(std::string problem);

  Client client_;
  ResourceType type_;
  Selection selection_;
  ReflectorSink& sink_;
  Logger log_;
  Options options_;
  Time watch_opened_{};
  std::atomic<bool> is_synced_ = false;
  mutable std::mutex mutex_;
  std::string problem_;
};

}  // namespace hyper2kvm::kube
