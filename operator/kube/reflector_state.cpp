#include "operator/kube/reflector_state.h"

namespace hyper2kvm::kube {
namespace {

using Effects = ReflectorEffects;
using Phase = ReflectorPhase;

// A watch that ends sooner than this and brought nothing has failed, whatever the server calls it: opening it
// again at once would be a loop without a pause.
constexpr Duration kShortestWatch = std::chrono::seconds(1);

// A watch that was open for this long shows that the failures before it are over.
constexpr Duration kLongWatch = std::chrono::seconds(10);

// What waiting does not mend: rights, credentials, a kind that is not installed.
bool is_refusal(const CallFailed& failure) {
  return failure.code == 401 || failure.code == 403 || failure.code == 404;
}

bool is_gone(const CallFailed& failure) { return failure.code == 410 || failure.reason == "Expired"; }

// A call has succeeded.
void progress(ReflectorState& state, Effects& effects) {
  if (!state.refusal.empty()) effects.report = Effects::Report::kRecovery;
  state.refusal.clear();
}

ReflectorStep after(ReflectorState state, const PageRead& page) {
  Effects effects;
  progress(state, effects);
  state.continue_token = page.continue_token;
  if (!page.continue_token.empty()) {
    state.phase = Phase::kListing;
    return {std::move(state), effects};
  }
  state.phase = Phase::kListed;
  state.resource_version = page.resource_version;
  state.is_synced = true;
  effects.commit_pages = true;
  return {std::move(state), effects};
}

ReflectorStep after(ReflectorState state, const WatchOpened&) {
  Effects effects;
  progress(state, effects);
  state.phase = Phase::kWatching;
  state.watch_was_useful = false;
  return {std::move(state), effects};
}

ReflectorStep after(ReflectorState state, const EventRead& event) {
  Effects effects;
  // Only now has the server shown that it can go on from our resource version: a list that works and a watch
  // that is gone each time is a failure that needs its pauses.
  state.failures = 0;
  state.watch_was_useful = true;
  if (!event.resource_version.empty()) state.resource_version = event.resource_version;
  effects.apply_event = event.type != WatchEventType::kBookmark;
  return {std::move(state), effects};
}

ReflectorStep after(ReflectorState state, const WatchEnded& end) {
  Effects effects;
  state.phase = Phase::kListed;
  if (state.watch_was_useful || end.lasted >= kShortestWatch) {
    state.failures = 0;
  } else {
    ++state.failures;
    effects.wait = true;
  }
  return {std::move(state), effects};
}

ReflectorStep after(ReflectorState state, const CallFailed& failure) {
  Effects effects;
  if (state.phase == Phase::kWatching && failure.lasted >= kLongWatch) state.failures = 0;
  ++state.failures;
  effects.wait = true;
  if (is_gone(failure)) {
    // Also a continue token gets too old. The first time this is the ordinary course of things.
    effects.wait = state.failures > 1;
    state.phase = Phase::kEmpty;
    state.resource_version.clear();
    state.continue_token.clear();
    return {std::move(state), effects};
  }
  // Everything else keeps its place: the same page, or a watch from the same resource version.
  if (state.phase == Phase::kWatching) state.phase = Phase::kListed;
  if (is_refusal(failure)) {
    std::string refusal = failure.reason.empty() ? std::to_string(failure.code) : failure.reason;
    if (state.refusal != refusal) effects.report = Effects::Report::kFailure;
    state.refusal = refusal;
  } else {
    effects.report = Effects::Report::kFailure;
  }
  return {std::move(state), effects};
}

}  // namespace

ReflectorStep step(ReflectorState state, const ReflectorInput& input) {
  return std::visit([&](const auto& what) { return after(std::move(state), what); }, input);
}

}  // namespace hyper2kvm::kube
