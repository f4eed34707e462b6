#include "runner/image/ordered_crew.h"

#include <chrono>

#include "runner/os/error.h"

namespace hyper2kvm::image {
namespace {

constexpr auto kTick = std::chrono::milliseconds(50);

}  // namespace

OrderedCrew::OrderedCrew(unsigned threads, unsigned slots, const os::StopToken& stop) : stop_(stop) {
  for (unsigned slot = slots; slot > 0; --slot) free_slots_.push_back(slot - 1);
  try {
    for (unsigned worker = 0; worker < threads; ++worker)
      threads_.emplace_back([this, worker] { work(worker); });
  } catch (const std::system_error& error) {
    {
      std::lock_guard lock(mutex_);
      closing_ = true;
    }
    work_arrived_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    throw os::system_error(error.code().value(), "start a thread", "hyper2kvm");
  }
}

OrderedCrew::~OrderedCrew() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
    drop_all();
  }
  work_arrived_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void OrderedCrew::submit(std::unique_ptr<Job> job) {
  std::unique_lock lock(mutex_);
  while (!error_ && queue_.size() >= 2 * threads_.size()) {
    work_finished_.wait_for(lock, kTick);
    stop_.throw_if_stopped();
  }
  if (error_) std::rethrow_exception(error_);
  queue_.push_back(Task{std::move(job), submitted_++});
  lock.unlock();
  work_arrived_.notify_one();
}

void OrderedCrew::finish(const std::function<void()>& on_wait) {
  std::unique_lock lock(mutex_);
  while (!error_ && completed_ < submitted_) {
    work_finished_.wait_for(lock, kTick);
    lock.unlock();
    stop_.throw_if_stopped();
    if (on_wait) on_wait();
    lock.lock();
  }
  if (error_) std::rethrow_exception(error_);
}

void OrderedCrew::throw_if_failed() {
  stop_.throw_if_stopped();
  std::lock_guard lock(mutex_);
  if (error_) std::rethrow_exception(error_);
}

void OrderedCrew::work(unsigned worker) {
  std::unique_lock lock(mutex_);
  while (true) {
    work_arrived_.wait(lock, [&] { return closing_ || has_work(); });
    if (closing_) return;
    try {
      // What is written makes room.
      if (!placed_.empty())
        write(lock);
      else
        prepare(worker, lock);
    } catch (...) {
      if (!lock.owns_lock()) lock.lock();
      fail(std::current_exception());
    }
  }
}

void OrderedCrew::prepare(unsigned worker, std::unique_lock<std::mutex>& lock) {
  Task task = std::move(queue_.front());
  queue_.pop_front();
  task.slot = free_slots_.back();
  free_slots_.pop_back();
  if (has_work()) work_arrived_.notify_one();
  lock.unlock();
  task.job->prepare(worker, task.slot);
  lock.lock();
  if (broken()) return;
  prepared_.emplace(task.number, std::move(task));
  if (!placing_) place_what_is_due(lock);
}

void OrderedCrew::place_what_is_due(std::unique_lock<std::mutex>& lock) {
  placing_ = true;
  for (auto due = prepared_.find(turn_); due != prepared_.end(); due = prepared_.find(turn_)) {
    Task task = std::move(due->second);
    prepared_.erase(due);
    lock.unlock();
    task.job->place();
    lock.lock();
    if (broken()) return;
    ++turn_;
    placed_.push_back(std::move(task));
  }
  placing_ = false;
}

void OrderedCrew::write(std::unique_lock<std::mutex>& lock) {
  Task task = std::move(placed_.front());
  placed_.pop_front();
  if (has_work()) work_arrived_.notify_one();
  lock.unlock();
  task.job->write();
  task.job.reset();  // what it holds is free before the feeding thread looks again
  lock.lock();
  free_slots_.push_back(task.slot);
  ++completed_;
  work_finished_.notify_all();
}

void OrderedCrew::fail(std::exception_ptr error) {
  if (!error_) error_ = std::move(error);
  drop_all();
  work_finished_.notify_all();
}

void OrderedCrew::drop_all() {
  queue_.clear();
  prepared_.clear();
  placed_.clear();
}

}  // namespace hyper2kvm::image
