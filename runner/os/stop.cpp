#include "runner/os/stop.h"

#include <signal.h>
#include <unistd.h>

#include "runner/os/error.h"

namespace hyper2kvm::os {
namespace {

StopSource* signal_source = nullptr;
std::atomic_flag signal_seen = ATOMIC_FLAG_INIT;

void on_signal(int number) {
  if (signal_seen.test_and_set()) ::_exit(128 + number);
  signal_source->request_stop();
}

}  // namespace

bool StopToken::stop_requested() const noexcept {
  for (const State* state = state_.get(); state != nullptr; state = state->parent.get())
    if (state->stopped.load(std::memory_order_acquire)) return true;
  return false;
}

void StopToken::throw_if_stopped() const {
  if (stop_requested())
    throw Error(ErrorKind::kCancelled, "", "the conversion was cancelled",
                "Start it again when you are ready.");
}

StopSource::StopSource() : state_(std::make_shared<StopToken::State>()) {}

StopSource::StopSource(const StopToken& parent) : StopSource() { state_->parent = parent.state_; }

StopToken stop_on_signals() {
  static StopSource source;
  signal_source = &source;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigfillset(&action.sa_mask);
  for (int number : {SIGTERM, SIGINT, SIGHUP}) {
    struct sigaction before {};
    sigaction(number, nullptr, &before);
    if (number == SIGHUP && before.sa_handler == SIG_IGN) continue;
    sigaction(number, &action, nullptr);
  }
  signal(SIGPIPE, SIG_IGN);
  return source.token();
}

}  // namespace hyper2kvm::os
