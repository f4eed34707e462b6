// How long work is told to stop.
//
// A StopSource belongs to whoever may cancel (main on SIGTERM, a failed sibling stage); a StopToken goes to
// whoever must look. Stopping is one-way. Whoever waits for something looks at least every 50 ms, so that a
// stop takes effect at once for a person; there is no descriptor to poll, which keeps nested sources simple.
// All functions may be called from any thread.
#pragma once

#include <atomic>
#include <memory>

namespace hyper2kvm::os {

class StopToken {
 public:
  // Never stops.
  StopToken() = default;
  bool stop_requested() const noexcept;
  // Throws Error(kCancelled) when a stop was asked for.
  void throw_if_stopped() const;

 private:
  friend class StopSource;
  struct State {
    std::atomic<bool> stopped{false};
    std::shared_ptr<const State> parent;
  };
  explicit StopToken(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

class StopSource {
 public:
  StopSource();
  // A stop of parent stops this one too; not the other way round.
  explicit StopSource(const StopToken& parent);
  // Async-signal-safe.
  void request_stop() noexcept { state_->stopped.store(true, std::memory_order_release); }
  StopToken token() const { return StopToken(state_); }

 private:
  std::shared_ptr<StopToken::State> state_;
};

// From now on the first SIGTERM, SIGINT or SIGHUP requests a stop of the token that this returns, and the
// second ends the process at once with status 128 + signal. SIGHUP stays ignored where it was (nohup).
// SIGPIPE becomes ignored. Call once, in main, before threads.
StopToken stop_on_signals();

}  // namespace hyper2kvm::os
