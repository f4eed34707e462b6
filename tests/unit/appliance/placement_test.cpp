#include "runner/appliance/placement.h"

#include <gtest/gtest.h>
#include <sched.h>

#include "runner/os/process.h"

namespace hyper2kvm::appliance {
namespace {

using Kind = PlacementChoice::Step::Kind;
using std::chrono::milliseconds;

constexpr std::uint64_t kMillisecond = 1'000'000;

int processors_of(pid_t task) {
  cpu_set_t processors;
  if (::sched_getaffinity(task, sizeof processors, &processors) != 0) return -1;
  return CPU_COUNT(&processors);
}

TEST(Placement, TheProcessorIsReadBehindAnyProgramName) {
  const std::string fields =
      " S 1 7 7 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 17";
  EXPECT_EQ(processor_of("7 (linux.uml)" + fields + " 12 0 0\n"), 12);
  EXPECT_EQ(processor_of("7 (a) b) (c 9)" + fields + " 3 0 0\n"), 3);
  EXPECT_EQ(processor_of("7 (linux.uml)" + fields), std::nullopt);
  EXPECT_EQ(processor_of("7 (linux.uml)" + fields + " 99999999 0 0\n"), std::nullopt);
  EXPECT_EQ(processor_of("7 linux.uml"), std::nullopt);
  EXPECT_EQ(processor_of(""), std::nullopt);
}

TEST(Placement, TasksAreKeptWhereTheBusiestOfThemRan) {
  PlacementChoice choice;
  PlacementChoice::Step step = choice.step(
      {{.task = 1, .processor = 4, .ran = 10}, {.task = 2, .processor = 6, .ran = 90}}, milliseconds(0));
  EXPECT_EQ(step.kind, Kind::kKeepOn);
  EXPECT_EQ(step.processor, 6);
}

TEST(Placement, TasksThatHaveTheirProcessorForThemselvesAreLeftThere) {
  PlacementChoice choice;
  (void)choice.step({{.task = 1}}, milliseconds(0));
  EXPECT_EQ(choice.step({{.task = 1, .waited = 5 * kMillisecond}}, milliseconds(50)).kind, Kind::kLeave);
  EXPECT_EQ(choice.step({{.task = 1, .waited = 10 * kMillisecond}}, milliseconds(50)).kind, Kind::kLeave);
}

TEST(Placement, TasksThatWaitForTheirProcessorAreLetGoAndKeptWhereTheyComeTo) {
  PlacementChoice choice;
  (void)choice.step({{.task = 1, .processor = 4}, {.task = 2, .processor = 4}}, milliseconds(0));
  const std::uint64_t waited = 15 * kMillisecond;
  EXPECT_EQ(choice
                .step({{.task = 1, .processor = 4, .ran = 100, .waited = waited},
                       {.task = 2, .processor = 4, .ran = 1, .waited = waited}},
                      milliseconds(100))
                .kind,
            Kind::kLetGo);
  // What counts is what each has done since: the first one has run for longer altogether.
  PlacementChoice::Step step = choice.step({{.task = 1, .processor = 5, .ran = 102, .waited = waited},
                                            {.task = 2, .processor = 7, .ran = 10, .waited = waited}},
                                           milliseconds(50));
  EXPECT_EQ(step.kind, Kind::kKeepOn);
  EXPECT_EQ(step.processor, 7);
}

TEST(Placement, TasksThatEndedTakeTheirTimesWithThem) {
  PlacementChoice choice;
  (void)choice.step({{.task = 1}, {.task = 2, .waited = 900 * kMillisecond}}, milliseconds(0));
  EXPECT_EQ(choice.step({{.task = 1}}, milliseconds(50)).kind, Kind::kLeave);
  // A number that is used again has counted less than before.
  (void)choice.step({{.task = 1}, {.task = 2, .waited = 9 * kMillisecond}}, milliseconds(50));
  EXPECT_EQ(choice.step({{.task = 1}, {.task = 2, .waited = 1}}, milliseconds(50)).kind, Kind::kLeave);
}

TEST(Placement, AProcessIsKeptOnOneOfTheProcessorsThatItMayUse) {
  const int allowed = processors_of(0);
  os::Process process = os::Process::start({.arguments = {"sleep", "100"}});
  Placement placement(process.pid());
  placement.look();
  int now = processors_of(process.pid());
  // Where the host tells nothing about its tasks, nothing is done.
  EXPECT_TRUE(now == 1 || now == allowed) << now;
  EXPECT_EQ(processors_of(0), allowed);
}

TEST(Placement, AProcessThatHasEndedIsNothingToPlace) {
  pid_t ended;
  {
    os::Process process = os::Process::start({.arguments = {"true"}});
    ended = process.pid();
    process.wait();
  }
  Placement placement(ended);
  EXPECT_NO_THROW(placement.look());
  EXPECT_NO_THROW(placement.look());
}

}  // namespace
}  // namespace hyper2kvm::appliance
