#include "runner/appliance/placement.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "runner/os/file.h"

namespace hyper2kvm::appliance {
namespace {

constexpr std::chrono::milliseconds kInterval{50};
// Of the time that passed, the part that the tasks may have waited for their processor: one in so many.
constexpr std::uint64_t kMostWaiting = 5;
// A kernel has about ten.
constexpr std::size_t kMostTasks = 1000;

// A file of /proc that is a few lines long.
std::optional<std::string> read_short(const std::string& path) {
  os::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  char text[8192];
  ssize_t size = ::read(file.get(), text, sizeof text);
  if (size < 0) return std::nullopt;
  return std::string(text, static_cast<std::size_t>(size));
}

// The numbers at the beginning of a text, separated by spaces.
std::vector<std::uint64_t> numbers_of(std::string_view text) {
  std::vector<std::uint64_t> numbers;
  while (true) {
    while (text.starts_with(' ')) text.remove_prefix(1);
    std::uint64_t number = 0;
    auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failed != std::errc()) return numbers;
    numbers.push_back(number);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  }
}

// The process and all below it; a process of User-mode Linux has one thread. nullopt where the host does not
// tell: its kernel may be built without these files.
std::optional<std::vector<TaskTimes>> tasks_below(pid_t top) {
  std::vector<TaskTimes> tasks;
  std::vector<pid_t> ahead = {top};
  while (!ahead.empty() && tasks.size() < kMostTasks) {
    pid_t task = ahead.back();
    ahead.pop_back();
    std::string number = std::to_string(task);
    std::optional<std::string> stat = read_short("/proc/" + number + "/stat");
    std::optional<std::string> times = read_short("/proc/" + number + "/schedstat");
    std::optional<std::string> children = read_short("/proc/" + number + "/task/" + number + "/children");
    std::optional<int> processor = stat ? processor_of(*stat) : std::nullopt;
    std::vector<std::uint64_t> counted = numbers_of(times.value_or(""));
    if (!processor || counted.size() < 2 || !children) {
      if (task == top) return std::nullopt;
      continue;  // it has just ended
    }
    tasks.push_back({task, *processor, counted[0], counted[1]});
    for (std::uint64_t child : numbers_of(*children)) ahead.push_back(static_cast<pid_t>(child));
  }
  return tasks;
}

}  // namespace

std::optional<int> processor_of(std::string_view stat) {
  // The second field is the program's name in parentheses, with anything in it; the 39th is the processor.
  std::size_t at = stat.rfind(')');
  if (at == std::string_view::npos) return std::nullopt;
  for (int field = 2; field < 39; ++field) {
    at = stat.find(' ', at + 1);
    if (at == std::string_view::npos) return std::nullopt;
  }
  std::vector<std::uint64_t> numbers = numbers_of(stat.substr(at));
  if (numbers.empty() || numbers.front() >= CPU_SETSIZE) return std::nullopt;
  return static_cast<int>(numbers.front());
}

PlacementChoice::Step PlacementChoice::step(const std::vector<TaskTimes>& tasks,
                                            std::chrono::nanoseconds elapsed) {
  std::uint64_t waited = 0;
  const TaskTimes* busiest = nullptr;
  std::uint64_t most = 0;
  std::map<pid_t, TaskTimes> now;
  for (const TaskTimes& task : tasks) {
    // Of a task that is new, all counts.
    TaskTimes before = before_.contains(task.task) ? before_[task.task] : TaskTimes{};
    waited += task.waited - std::min(before.waited, task.waited);
    std::uint64_t ran = task.ran - std::min(before.ran, task.ran);
    if (busiest == nullptr || ran > most) {
      busiest = &task;
      most = ran;
    }
    now[task.task] = task;
  }
  before_ = std::move(now);
  if (busiest == nullptr) return {};
  if (!kept_) {
    kept_ = true;
    return {Step::Kind::kKeepOn, busiest->processor};
  }
  if (waited <= static_cast<std::uint64_t>(elapsed.count()) / kMostWaiting) return {};
  kept_ = false;
  return {Step::Kind::kLetGo, 0};
}

void Placement::look() {
  if (!able_) return;
  Clock::time_point now = Clock::now();
  if (looked_ && now - *looked_ < kInterval) return;
  std::chrono::nanoseconds elapsed = looked_ ? now - *looked_ : std::chrono::nanoseconds::zero();
  looked_ = now;
  std::optional<std::vector<TaskTimes>> tasks = tasks_below(kernel_);
  cpu_set_t processors;  // what this process may use, the kernel may too
  able_ = tasks && ::sched_getaffinity(0, sizeof processors, &processors) == 0;
  if (!able_) return;
  PlacementChoice::Step step = choice_.step(*tasks, elapsed);
  if (step.kind == PlacementChoice::Step::Kind::kLeave) return;
  if (step.kind == PlacementChoice::Step::Kind::kKeepOn) {
    if (!CPU_ISSET(static_cast<std::size_t>(step.processor), &processors)) return;
    CPU_ZERO(&processors);
    CPU_SET(static_cast<std::size_t>(step.processor), &processors);
  }
  // What a task starts from now on stays where the task is.
  for (const TaskTimes& task : *tasks) (void)::sched_setaffinity(task.task, sizeof processors, &processors);
}

}  // namespace hyper2kvm::appliance
