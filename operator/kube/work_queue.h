// The keys that a controller has to look at.
//
// A key is in the queue once, however often it is added. It is handed out to one worker at a time; one that
// is added while it is being worked on is handed out again afterwards, because what was added may have
// happened after the worker looked. A key that failed comes back after a time that doubles with each failure
// in a row. Source: the contract of client-go's workqueue.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <set>
#include <unordered_map>

#include "operator/kube/backoff.h"
#include "operator/kube/clock.h"
#include "operator/kube/resource.h"

namespace hyper2kvm::kube {

// The rules, without threads and without a clock. Not thread-safe.
class WorkQueueState {
 public:
  struct Taken {
    ObjectKey key;
    Duration waited{};  // in the queue, ready
  };

  void add(const ObjectKey& key, Time now);
  // Ready at `due`; an earlier time that is set already stays.
  void add_at(const ObjectKey& key, Time due, Time now);
  // The next key that is ready, in the order in which they became so. It must be given back with done().
  std::optional<Taken> take(Time now);
  // Returns how long it was worked on.
  Duration done(const ObjectKey& key, Time now);
  // When the first of the delayed keys becomes ready.
  std::optional<Time> next_due() const;
  // Forgets the keys that are not ready yet.
  void drop_delayed();

  // How many adds there were that were not of a key that waits already.
  std::uint64_t adds() const { return adds_; }
  std::size_t ready() const { return queue_.size(); }
  std::size_t in_work() const { return in_work_.size(); }

 private:
  void promote(Time now);
  std::deque<ObjectKey> queue_;
  // When each key became ready: those in the queue, and those that were added while they are in work.
  std::unordered_map<ObjectKey, Time> added_;
  std::unordered_map<ObjectKey, Time> in_work_;  // and since when
  std::set<std::pair<Time, ObjectKey>> delayed_;
  std::unordered_map<ObjectKey, Time> due_;  // the same by key
  std::uint64_t adds_ = 0;
};

// For metrics. Called under the queue's lock: must be quick and not call back.
class WorkQueueObserver {
 public:
  virtual ~WorkQueueObserver() = default;
  virtual void added(std::size_t depth) = 0;
  virtual void taken(std::size_t depth, Duration waited) = 0;
  virtual void finished(Duration worked) = 0;
  virtual void retried() = 0;
};

// The same for threads: safe to call from any thread.
class WorkQueue {
 public:
  // observer may be null; neither it nor the clock is owned.
  explicit WorkQueue(Backoff backoff = kKeyBackoff, WorkQueueObserver* observer = nullptr,
                     Clock& clock = Clock::real());

  void add(const ObjectKey& key);
  void add_after(const ObjectKey& key, Duration delay);
  // After a failure: later each time, until forget().
  void add_after_failure(const ObjectKey& key);
  void forget(const ObjectKey& key);
  unsigned failures(const ObjectKey& key) const;

  // Waits for a key. Nothing when the queue is shut down and no key is ready, or the stop is requested.
  std::optional<ObjectKey> take(const std::stop_token& stop);
  // Without waiting.
  std::optional<ObjectKey> take_if_ready();
  void done(const ObjectKey& key);

  // Nothing is added any more, delayed keys are dropped; what is ready is still handed out.
  void shut_down();
  // Waits until nothing is ready or in work. False when that takes longer than `patience`.
  bool wait_until_idle(Duration patience);
  std::size_t depth() const;

 private:
  // Both under the lock.
  void tell_about_adds();
  std::optional<ObjectKey> take_locked();
  const Backoff backoff_;
  WorkQueueObserver* const observer_;
  Clock& clock_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  WorkQueueState state_;
  std::uint64_t adds_told_ = 0;
  std::unordered_map<ObjectKey, unsigned> failures_;
  bool is_shut_down_ = false;
};

}  // namespace hyper2kvm::kube
