#include "operator/kube/reflector.h"

#include <malloc.h>

namespace hyper2kvm::kube {

Reflector::Reflector(Client client, ResourceType type, Selection selection, ReflectorSink& sink, Logger log,
                     Options options)
    : client_(std::move(client)),
      type_(std::move(type)),
      selection_(std::move(selection)),
      sink_(sink),
      log_(log.with({{"resource", type_.qualified_name()}})),
      options_(std::move(options)) {}

std::string Reflector::problem() const {
  std::lock_guard lock(mutex_);
  return problem_;
}

void Reflector::set_problem(std::string problem) {
  std::lock_guard lock(mutex_);
  problem_ = std::move(problem);
}

// Makes the one call that the phase asks for. An event's object comes out by `object`.
ReflectorInput Reflector::call(const Client& client, const ReflectorState& state,
                               std::optional<WatchStream>& watch, std::optional<Json>& object) {
  switch (state.phase) {
    case ReflectorPhase::kEmpty:
    case ReflectorPhase::kListing: {
      if (state.phase == ReflectorPhase::kEmpty) sink_.discard_staged();
      ListPage page = client.list_page(type_, {selection_, options_.page_size, state.continue_token},
                                       [&](Json&& listed) { sink_.stage(std::move(listed)); });
      return PageRead{page.resource_version, page.continue_token};
    }
    case ReflectorPhase::kListed:
      watch.emplace(client.watch(type_, {selection_, state.resource_version}));
      watch_opened_ = options_.clock->now();
      return WatchOpened{};
    case ReflectorPhase::kWatching:
      break;
  }
  std::optional<WatchEvent> event = watch->next();
  if (!event) return WatchEnded{options_.clock->now() - watch_opened_};
  EventRead read{event->type, resource_version_of(event->object)};
  object = std::move(event->object);
  return read;
}

void Reflector::run(const std::stop_token& stop) {
  Client client = client_.bound_to(stop);
  ReflectorState state;
  std::optional<WatchStream> watch;
  while (!stop.stop_requested()) {
    ReflectorInput input;
    std::optional<Json> object;
    try {
      input = call(client, state, watch, object);
    } catch (const ApiError& error) {
      set_problem(error.sentence());
      input = CallFailed{error.code(), error.reason(), options_.clock->now() - watch_opened_};
    } catch (const os::Error& error) {
      if (error.kind() == os::ErrorKind::kCancelled) return;
      set_problem(error.sentence());
      input = CallFailed{0, "", options_.clock->now() - watch_opened_};
    }
    ReflectorStep next = step(std::move(state), input);
    state = std::move(next.state);
    if (state.phase != ReflectorPhase::kWatching) watch.reset();
    report(next.effects.report, state);
    if (next.effects.commit_pages) {
      sink_.commit_staged();
      // A list passes through trees of JSON that are many times as large as what is kept of it.
      ::malloc_trim(0);
    }
    if (next.effects.apply_event) sink_.apply(std::get<EventRead>(input).type, std::move(*object));
    is_synced_ = state.is_synced;
    if (state.failures == 0 || !next.effects.wait) set_problem("");
    if (next.effects.wait)
      options_.clock->sleep(options_.backoff.delay(state.failures, options_.random()), stop);
  }
}

void Reflector::report(ReflectorEffects::Report report, const ReflectorState& state) {
  using Report = ReflectorEffects::Report;
  if (report == Report::kFailure)
    log_.warning("cannot keep the cache up to date", {{"error", problem()}, {"failures", state.failures}});
  else if (report == Report::kRecovery)
    log_.info("the server allows it again");
}

}  // namespace hyper2kvm::kube
