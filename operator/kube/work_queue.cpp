#include "operator/kube/work_queue.h"

namespace hyper2kvm::kube {

void WorkQueueState::add(const ObjectKey& key, Time now) {
  // A key that is ready now needs no later reminder of its own.
  if (auto due = due_.find(key); due != due_.end()) {
    delayed_.erase({due->second, key});
    due_.erase(due);
  }
  if (!added_.try_emplace(key, now).second) return;
  ++adds_;
  if (!in_work_.contains(key)) queue_.push_back(key);
}

void WorkQueueState::add_at(const ObjectKey& key, Time due, Time now) {
  if (due <= now) return add(key, now);
  auto [place, is_new] = due_.try_emplace(key, due);
  if (!is_new) {
    if (place->second <= due) return;
    delayed_.erase({place->second, key});
    place->second = due;
  }
  delayed_.emplace(due, key);
}

void WorkQueueState::promote(Time now) {
  while (!delayed_.empty() && delayed_.begin()->first <= now) {
    ObjectKey key = delayed_.begin()->second;
    add(key, now);
  }
}

std::optional<WorkQueueState::Taken> WorkQueueState::take(Time now) {
  promote(now);
  if (queue_.empty()) return std::nullopt;
  Taken taken{std::move(queue_.front()), {}};
  queue_.pop_front();
  auto added = added_.find(taken.key);
  taken.waited = now - added->second;
  added_.erase(added);
  in_work_[taken.key] = now;
  return taken;
}

Duration WorkQueueState::done(const ObjectKey& key, Time now) {
  auto work = in_work_.find(key);
  if (work == in_work_.end()) return Duration::zero();
  Duration worked = now - work->second;
  in_work_.erase(work);
  if (added_.contains(key)) queue_.push_back(key);
  return worked;
}

std::optional<Time> WorkQueueState::next_due() const {
  return delayed_.empty() ? std::nullopt : std::optional(delayed_.begin()->first);
}

void WorkQueueState::drop_delayed() {
  delayed_.clear();
  due_.clear();
}

WorkQueue::WorkQueue(Backoff backoff, WorkQueueObserver* observer, Clock& clock)
    : backoff_(backoff), observer_(observer), clock_(clock) {}

void WorkQueue::tell_about_adds() {
  for (; adds_told_ < state_.adds(); ++adds_told_)
    if (observer_ != nullptr) observer_->added(state_.ready());
}

void WorkQueue::add(const ObjectKey& key) { add_after(key, Duration::zero()); }

void WorkQueue::add_after(const ObjectKey& key, Duration delay) {
  std::lock_guard lock(mutex_);
  if (is_shut_down_) return;
  Time now = clock_.now();
  state_.add_at(key, now + delay, now);
  tell_about_adds();
  changed_.notify_all();
}

void WorkQueue::add_after_failure(const ObjectKey& key) {
  std::lock_guard lock(mutex_);
  if (is_shut_down_) return;
  Time now = clock_.now();
  state_.add_at(key, now + backoff_.delay(++failures_[key]), now);
  if (observer_ != nullptr) observer_->retried();
  changed_.notify_all();
}

void WorkQueue::forget(const ObjectKey& key) {
  std::lock_guard lock(mutex_);
  failures_.erase(key);
}

unsigned WorkQueue::failures(const ObjectKey& key) const {
  std::lock_guard lock(mutex_);
  auto found = failures_.find(key);
  return found == failures_.end() ? 0 : found->second;
}

std::optional<ObjectKey> WorkQueue::take_locked() {
  auto taken = state_.take(clock_.now());
  tell_about_adds();  // delayed keys may have become ready
  if (!taken) return std::nullopt;
  if (observer_ != nullptr) observer_->taken(state_.ready(), taken->waited);
  return std::move(taken->key);
}

std::optional<ObjectKey> WorkQueue::take_if_ready() {
  std::lock_guard lock(mutex_);
  return take_locked();
}

std::optional<ObjectKey> WorkQueue::take(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    if (auto key = take_locked()) return key;
    if (is_shut_down_) return std::nullopt;
    auto due = state_.next_due();
    auto something = [&] { return is_shut_down_ || state_.ready() > 0 || state_.next_due() != due; };
    if (due)
      changed_.wait_until(lock, stop, *due, something);
    else
      changed_.wait(lock, stop, something);
  }
  return std::nullopt;
}

void WorkQueue::done(const ObjectKey& key) {
  std::lock_guard lock(mutex_);
  Duration worked = state_.done(key, clock_.now());
  if (observer_ != nullptr) observer_->finished(worked);
  changed_.notify_all();
}

void WorkQueue::shut_down() {
  std::lock_guard lock(mutex_);
  is_shut_down_ = true;
  state_.drop_delayed();
  changed_.notify_all();
}

bool WorkQueue::wait_until_idle(Duration patience) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, patience, [&] { return state_.ready() == 0 && state_.in_work() == 0; });
}

std::size_t WorkQueue::depth() const {
  std::lock_guard lock(mutex_);
  return state_.ready();
}

}  // namespace hyper2kvm::kube
