// Threads that work on the pieces of one disk at the same time, with one step of each piece in order.
//
//   submit(1) submit(2) submit(3)         the feeding thread; waits while too much is queued
//      │         │         │
//   prepare   prepare   prepare           at the same time, in any order (inflate, compress)
//      └── turn ──► turn ──► turn         one after the other, in the order of submission (find a place)
//        write     write     write        at the same time again
//
// The turn makes the result the same whatever the number of threads, and lets all that assigns places in a
// target be written without locks. The first error of any job stops the others and is thrown by the next
// submit() or by finish().
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "runner/os/stop.h"

namespace hyper2kvm::image {

class OrderedCrew {
 public:
  class Turn;
  // worker: 0 to threads-1, for scratch memory of its own.
  using Job = std::function<void(unsigned worker, Turn& turn)>;

  OrderedCrew(unsigned threads, const os::StopToken& stop);
  // Lets running jobs end, throws away the queued ones, joins.
  ~OrderedCrew();
  OrderedCrew(const OrderedCrew&) = delete;
  OrderedCrew& operator=(const OrderedCrew&) = delete;

  // By one thread only.
  void submit(Job job);
  // Waits for all jobs; on_wait is called about every 50 ms meanwhile.
  void finish(const std::function<void()>& on_wait = {});
  // Throws what failed, or Error(kCancelled) after a stop request. Any thread.
  void throw_if_failed();

  // A job's place in the order. take() waits until all earlier jobs have given theirs back.
  class Turn {
   public:
    Turn(OrderedCrew& crew, std::uint64_t number) : crew_(crew), number_(number) {}
    void take();
    void give_back();

   private:
    OrderedCrew& crew_;
    std::uint64_t number_;
    bool given_back_ = false;
  };

 private:
  struct Queued {
    std::uint64_t number;
    Job job;
  };
  void work(unsigned worker);
  void fail(std::exception_ptr error);
  std::condition_variable& came(std::uint64_t turn) { return turn_came_[turn % turn_came_.size()]; }
  bool broken() const { return static_cast<bool>(error_) || closing_; }  // under mutex_

  const os::StopToken stop_;
  std::mutex mutex_;
  std::condition_variable work_arrived_;   // for workers
  std::condition_variable work_finished_;  // for the feeding thread
  // By the number of the job: one whose turn has not come sleeps on. To wake all each time costs a tenth of a
  // copy.
  std::vector<std::condition_variable> turn_came_;
  std::deque<Queued> queue_;
  std::set<std::uint64_t> early_;  // turns given back before their predecessors'
  std::uint64_t submitted_ = 0;
  std::uint64_t completed_ = 0;
  std::uint64_t turn_ = 0;
  bool closing_ = false;
  std::exception_ptr error_;
  std::vector<std::thread> threads_;
};

}  // namespace hyper2kvm::image
