// On which of the host's processors the appliance's kernel runs.
//
// User-mode Linux has one processor inside, but is several processes outside: the kernel, and one for each
// address space inside, which stops at every call and page fault of a program there until the kernel has
// dealt with it. Two that take turns thousands of times a second belong on one processor. The host's
// scheduler wakes each on another that is idle, and every turn then waits for a processor to come out of its
// sleep: starting a program inside takes two to three times as long.
//
// So they are kept on the processor that the scheduler gave them, as long as they have it nearly for
// themselves. Where they had to wait for it, they are let go for a moment, and kept where the scheduler puts
// them then: a machine that is busy elsewhere loses nothing by it.
//
// Sources: sched_setaffinity(2), proc(5) (stat, schedstat, task/TID/children).
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

namespace hyper2kvm::appliance {

// A task of the kernel's, as the host's kernel counts it since the task began.
struct TaskTimes {
  pid_t task = 0;
  int processor = 0;         // where it ran last
  std::uint64_t ran = 0;     // nanoseconds
  std::uint64_t waited = 0;  // nanoseconds in which it could have run and another did
};

// processor out of /proc/PID/stat; nullopt where the text is not what it should be.
std::optional<int> processor_of(std::string_view stat);

// What to do about the tasks, told by what they did since they were looked at last. Pure.
class PlacementChoice {
 public:
  struct Step {
    enum class Kind { kLeave, kKeepOn, kLetGo } kind = Kind::kLeave;
    int processor = 0;  // of kKeepOn
  };
  Step step(const std::vector<TaskTimes>& tasks, std::chrono::nanoseconds elapsed);

 private:
  bool kept_ = false;
  std::map<pid_t, TaskTimes> before_;
};

// Of one kernel and the processes below it. Not thread-safe. Where the host does not tell what is needed, or
// refuses, it does nothing: all of this is about time alone.
class Placement {
 public:
  explicit Placement(pid_t kernel) : kernel_(kernel) {}
  // To be called often; does something at most every 50 ms, and at once the first time.
  void look();

 private:
  using Clock = std::chrono::steady_clock;
  pid_t kernel_;
  bool able_ = true;
  std::optional<Clock::time_point> looked_;
  PlacementChoice choice_;
};

}  // namespace hyper2kvm::appliance
