#include "operator/kube/event_recorder.h"

#include "operator/kube/text.h"

namespace hyper2kvm::kube {
namespace {

constexpr std::size_t kWaitingLimit = 256;
constexpr Duration kLastWrites = std::chrono::seconds(3);

// Of its own: a leader that is cut off may still say why.
Client event_client(const Client& client) {
  Client::Options options = client.options();
  options.timeout = std::chrono::seconds(5);
  options.retries = 2;
  return client.separate(std::move(options));
}

}  // namespace

EventRecorder::EventRecorder(const Client& client, std::string component, std::string host, Logger log,
                             Clock& clock)
    : client_(event_client(client)),
      log_(std::move(log)),
      clock_(clock),
      aggregator_(std::move(component), std::move(host)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

EventRecorder::~EventRecorder() { flush(kLastWrites); }

void EventRecorder::record(Happening happening) {
  {
    std::lock_guard lock(mutex_);
    if (waiting_.size() < kWaitingLimit) {
      waiting_.push_back(std::move(happening));
      changed_.notify_all();
      return;
    }
  }
  log_.warning("an event is dropped: too many are waiting", {{"reason", happening.reason}});
}

bool EventRecorder::flush(Duration patience) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, patience, [&] { return waiting_.empty() && !is_writing_; });
}

void EventRecorder::run(const std::stop_token& stop) {
  Client client = client_.bound_to(stop);
  while (true) {
    Happening happening;
    {
      std::unique_lock lock(mutex_);
      is_writing_ = false;
      changed_.notify_all();
      if (!changed_.wait(lock, stop, [&] { return !waiting_.empty(); }) || stop.stop_requested()) return;
      happening = std::move(waiting_.front());
      waiting_.pop_front();
      is_writing_ = true;
    }
    try {
      auto next = aggregator_.next(happening, clock_.now(), clock_.calendar(), random_hex(8));
      if (next) write(*next, client);
    } catch (const std::exception& error) {
      log_.warning("an event cannot be written", {{"reason", happening.reason}, {"error", error.what()}});
    }
  }
}

void EventRecorder::write(const EventWrite& write, const Client& client) {
  if (!write.is_new) {
    Json count = {{"count", write.event["count"]},
                  {"lastTimestamp", write.event["lastTimestamp"]},
                  {"message", write.event["message"]}};
    try {
      client.patch(types::kEvents, key_of(write.event), PatchKind::kMerge, count);
      return;
    } catch (const ApiError& error) {
      // Events are kept for an hour; one that is gone is written anew.
      if (!error.is_not_found()) throw;
    }
  }
  client.create(types::kEvents, write.event);
}

}  // namespace hyper2kvm::kube
