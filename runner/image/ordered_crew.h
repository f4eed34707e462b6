// Threads that work on the pieces of one disk at the same time, with one step of each piece in order.
//
//   submit(1) submit(2) submit(3)         the feeding thread; waits while too much is queued
//      │         │         │
//   prepare   prepare   prepare           at the same time, in any order (inflate, compress)
//      └────────►└────────►└─► place      one after the other, in the order of submission (find a place)
//    write     write     write            at the same time again
//
// The order makes the result the same whatever the number of threads, and lets all that assigns places in a
// target be written without locks. A thread waits for no job before its own: what is prepared too early lies
// by until its turn, when whoever prepared the last one missing places them all, and anybody writes them. The
// first error of any job stops the others and is thrown by the next submit() or by finish().
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "runner/os/stop.h"

namespace hyper2kvm::image {

class OrderedCrew {
 public:
  // What a job holds is let go right after its last step, or when the crew has failed.
  class Job {
   public:
    virtual ~Job() = default;
    // worker: 0 to threads-1, for scratch memory that is needed in this step. slot: 0 to slots-1, for memory
    // that belongs to the job until the end of its last step.
    virtual void prepare(unsigned worker, unsigned slot) = 0;
    virtual void place() = 0;
    virtual void write() = 0;
  };

  // slots: how many jobs can be between their first step and their last; more than threads, so that all have
  // something to do while one holds up the order.
  OrderedCrew(unsigned threads, unsigned slots, const os::StopToken& stop);
  // Lets running steps end, throws away what waits, joins.
  ~OrderedCrew();
  OrderedCrew(const OrderedCrew&) = delete;
  OrderedCrew& operator=(const OrderedCrew&) = delete;

  // By one thread only.
  void submit(std::unique_ptr<Job> job);
  // Waits for all jobs; on_wait is called about every 50 ms meanwhile.
  void finish(const std::function<void()>& on_wait = {});
  // Throws what failed, or Error(kCancelled) after a stop request. Any thread.
  void throw_if_failed();

 private:
  struct Task {
    std::unique_ptr<Job> job;
    std::uint64_t number = 0;
    unsigned slot = 0;
  };
  void work(unsigned worker);
  // The steps; lock is of mutex_, and held before and after.
  void prepare(unsigned worker, std::unique_lock<std::mutex>& lock);
  void place_what_is_due(std::unique_lock<std::mutex>& lock);
  void write(std::unique_lock<std::mutex>& lock);
  void fail(std::exception_ptr error);
  void drop_all();         // under mutex_
  bool has_work() const {  // under mutex_
    return !placed_.empty() || (!queue_.empty() && !free_slots_.empty());
  }
  bool broken() const { return static_cast<bool>(error_) || closing_; }  // under mutex_

  const os::StopToken stop_;
  std::mutex mutex_;
  std::condition_variable work_arrived_;   // for workers
  std::condition_variable work_finished_;  // for the feeding thread
  std::deque<Task> queue_;
  std::map<std::uint64_t, Task> prepared_;  // by number
  std::deque<Task> placed_;
  std::vector<unsigned> free_slots_;  // the last one used is the next
  bool placing_ = false;              // one thread does it, for all
  std::uint64_t submitted_ = 0;
  std::uint64_t turn_ = 0;  // the number of the next to be placed
  std::uint64_t completed_ = 0;
  bool closing_ = false;
  std::exception_ptr error_;
  std::vector<std::thread> threads_;
};

}  // namespace hyper2kvm::image
