// Keeping a copy of a kind of object: what to ask the server next, and what to do with its answer.
//
// The copy is made by a list, page by page, and kept by a watch that goes on where the list ended. Everything
// that may go wrong on the way is decided here, in one pure function without a network; reflector.cpp does
// what it says. Source: Kubernetes API concepts ("Efficient detection of changes", "410 Gone responses").
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <variant>

#include "operator/kube/clock.h"
#include "operator/kube/watch_event.h"

namespace hyper2kvm::kube {

enum class ReflectorPhase {
  // Nothing to go on from: next is the first page of a list, and pages that wait are forgotten. The store
  // keeps
  // what an earlier list and watch put there until the new list is complete.
  kEmpty,
  // Some pages have been read and wait beside the store: next is the page that the continue token names.
  kListing,
  // The store is as it was at resource_version: next is to open a watch from there.
  kListed,
  // A watch is open: next is to read an event.
  kWatching,
};

struct ReflectorState {
  ReflectorPhase phase = ReflectorPhase::kEmpty;
  // Of the list, or of the last event or bookmark.
  std::string resource_version;
  std::string continue_token;
  // The store has been filled at least once.
  bool is_synced = false;
  // Calls that failed in a row, without any progress between them; decides how long to wait before the next.
  unsigned failures = 0;
  // What the server refuses (403, 401, 404: "Forbidden"...), as it was reported. Empty while it does not.
  std::string refusal;
  // The open watch has brought something.
  bool watch_was_useful = false;

  bool operator==(const ReflectorState&) const = default;
};

// --- what happened ---
struct PageRead {
  std::string resource_version;
  std::string continue_token;
};
struct WatchOpened {};
struct EventRead {
  WatchEventType type;
  std::string resource_version;
};
// The server ended the watch in good order.
struct WatchEnded {
  Duration lasted{};
};
struct CallFailed {
  int code = 0;        // HTTP's; 0 where there was no answer
  std::string reason;  // the Status's
  Duration lasted{};   // how long the watch had been open
};
using ReflectorInput = std::variant<PageRead, WatchOpened, EventRead, WatchEnded, CallFailed>;

// --- what to do about it, in this order ---
struct ReflectorEffects {
  // The pages that wait replace the store, in one step.
  bool commit_pages = false;
  // Apply the event to the store.
  bool apply_event = false;
  // Say that the call failed (a refusal only the first time), or that a refusal is over.
  enum class Report { kNothing, kFailure, kRecovery } report = Report::kNothing;
  // Wait before the next call, as long as state.failures asks for.
  bool wait = false;

  bool operator==(const ReflectorEffects&) const = default;
};

struct ReflectorStep {
  ReflectorState state;
  ReflectorEffects effects;
};

ReflectorStep step(ReflectorState state, const ReflectorInput& input);

}  // namespace hyper2kvm::kube
