#include "runner/image/ordered_crew.h"

#include <chrono>

#include "runner/os/error.h"

namespace hyper2kvm::image {
namespace {

constexpr auto kTick = std::chrono::milliseconds(50);

// Ends a job whose crew has failed already; it never leaves the crew.
struct Abandoned {};

}  // namespace

OrderedCrew::OrderedCrew(unsigned threads, const os::StopToken& stop) : stop_(stop), turn_came_(threads) {
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
    queue_.clear();
  }
  work_arrived_.notify_all();
  for (std::condition_variable& came : turn_came_) came.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void OrderedCrew::submit(Job job) {
  std::unique_lock lock(mutex_);
  while (!error_ && queue_.size() >= 2 * threads_.size()) {
    work_finished_.wait_for(lock, kTick);
    stop_.throw_if_stopped();
  }
  if (error_) std::rethrow_exception(error_);
  queue_.push_back(Queued{submitted_++, std::move(job)});
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

void OrderedCrew::fail(std::exception_ptr error) {
  {
    std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
    queue_.clear();
  }
  work_finished_.notify_all();
  for (std::condition_variable& came : turn_came_) came.notify_all();
}

void OrderedCrew::throw_if_failed() {
  stop_.throw_if_stopped();
  std::lock_guard lock(mutex_);
  if (error_) std::rethrow_exception(error_);
}

void OrderedCrew::work(unsigned worker) {
  while (true) {
    Queued next;
    {
      std::unique_lock lock(mutex_);
      work_arrived_.wait(lock, [&] { return closing_ || !queue_.empty(); });
      if (queue_.empty()) return;
      next = std::move(queue_.front());
      queue_.pop_front();
    }
    try {
      Turn turn(*this, next.number);
      next.job(worker, turn);
      turn.give_back();
    } catch (const Abandoned&) {
    } catch (...) {
      fail(std::current_exception());
    }
    next.job = nullptr;  // what it holds (buffers) is free before the feeding thread looks again
    {
      std::lock_guard lock(mutex_);
      ++completed_;
    }
    work_finished_.notify_all();
  }
}

void OrderedCrew::Turn::take() {
  std::unique_lock lock(crew_.mutex_);
  crew_.came(number_).wait(lock, [&] { return crew_.turn_ == number_ || crew_.broken(); });
  if (crew_.broken()) throw Abandoned{};
}

void OrderedCrew::Turn::give_back() {
  if (given_back_) return;
  given_back_ = true;
  std::condition_variable* came = nullptr;
  {
    std::lock_guard lock(crew_.mutex_);
    crew_.early_.insert(number_);
    while (!crew_.early_.empty() && *crew_.early_.begin() == crew_.turn_) {
      crew_.early_.erase(crew_.early_.begin());
      ++crew_.turn_;
    }
    came = &crew_.came(crew_.turn_);
  }
  came->notify_all();
}

}  // namespace hyper2kvm::image
