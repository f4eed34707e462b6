// What real copies say of their progress: never backwards, and in the second half the time left is right.
//
// The rate limit makes the copies steady, and the clock is one that moves only when the limit makes somebody
// wait: so a busy machine changes nothing.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "runner/image/conversion.h"
#include "runner/os/file.h"
#include "runner/os/process.h"
#include "runner/pipeline/progress_meter.h"
#include "tests/unit/image/waiting_clock.h"
#include "tests/unit/pipeline/collected_events.h"

namespace hyper2kvm::pipeline {
namespace {

using contract::OutputFormat;
using contract::SourceFormat;
using image::testing::WaitingClock;

struct Copy {
  std::string title;
  std::string made_with;  // options of qemu-img convert; empty: the raw disk itself
  SourceFormat format;
  image::ConversionOptions options;
  bool checksum = false;
};

class ProgressOfCopies : public testing::Test {
 protected:
  std::filesystem::path at(const std::string& name) const { return directory_.path() / name; }

  // Data all over, which shrink by about a half. A copy of it takes 32 seconds of the clock.
  void make_disk(std::uint64_t size) {
    rate_ = 2 * size / 32;
    os::File file = os::File::open(at("disk.raw"), os::File::Mode::kCreate);
    std::vector<std::byte> bytes(1u << 20);
    std::uint64_t state = 88172645463325252u;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      bytes[i] = static_cast<std::byte>(i % 2 == 0 ? state : 'a');
    }
    for (std::uint64_t offset = 0; offset < size; offset += bytes.size()) file.write_at(offset, bytes);
  }

  void run(const Copy& copy) {
    std::filesystem::path from = at("disk.raw");
    if (!copy.made_with.empty()) {
      from = at("source");
      std::filesystem::remove(from);
      os::ProcessOptions process;
      process.arguments = {
          "qemu-img",   "convert", "-f", "raw", "-O", "vmdk", "-o", copy.made_with, at("disk.raw").string(),
          from.string()};
      os::run_program(process);
    }
    auto clock = std::make_shared<WaitingClock>();
    image::ConversionOptions options = copy.options;
    options.scratch = directory_.path();
    options.threads = 1;
    options.limiter = image::testing::limiter_of(clock, rate_);
    const image::ImageLocation location = image::whole_file(from);
    if (copy.checksum) options.expected_sha256 = image::sha256_of(location, {}, {});
    std::vector<WaitingClock::Time> times;
    CollectedEvents events;
    ProgressMeter meter("convert", 1, events, [&] {
      times.push_back(clock->now());
      return times.back();
    });
    std::vector<WaitingClock::Time> of_events;
    auto conversion =
        image::Conversion::create(image::open_source(location, copy.format, "disk0"), at("out"), options);
    conversion->copy(
        [&](std::uint64_t done, std::uint64_t total) {
          meter.update(0, done, total);
          while (of_events.size() < events.all().size()) of_events.push_back(times.back());
        },
        {});
    conversion->finish();
    std::filesystem::remove(at("out"));

    const std::vector<contract::Event> all = events.all();
    ASSERT_GT(all.size(), 10u) << copy.title;
    EXPECT_EQ(all.back().done_bytes, all.back().total_bytes) << copy.title;
    std::uint64_t before = 0;
    int checked = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_GE(all[i].done_bytes, before) << copy.title << ": backwards";
      EXPECT_EQ(all[i].total_bytes, all.back().total_bytes) << copy.title << ": another total";
      before = all[i].done_bytes;
      if (all[i].done_bytes * 2 < all[i].total_bytes || all[i].done_bytes == all[i].total_bytes) continue;
      ASSERT_TRUE(all[i].seconds_left) << copy.title;
      const double left = std::chrono::duration<double>(of_events.back() - of_events[i]).count();
      // A few pieces of a second each are under way, more or less of them as the threads happen to run.
      EXPECT_NEAR(*all[i].seconds_left, left, 0.1 * left + 2.5)
          << copy.title << " at " << all[i].done_bytes << " of " << all[i].total_bytes;
      ++checked;
    }
    EXPECT_GT(checked, 5) << copy.title;
  }

  os::TemporaryDirectory directory_{"progress"};
  std::uint64_t rate_ = 0;  // bytes a second, read and written
};

TEST_F(ProgressOfCopies, OfBlocks) {
  make_disk(256u << 20);
  run({"raw to qcow2", "", SourceFormat::kRaw, {}});
  run({"VMDK to raw", "subformat=monolithicSparse", SourceFormat::kVmdk, {.format = OutputFormat::kRaw}});
}

TEST_F(ProgressOfCopies, OfBlocksThatAreCheckedInTheSamePass) {
  make_disk(256u << 20);
  run({"raw with a checksum", "", SourceFormat::kRaw, {.format = OutputFormat::kRaw}, true});
}

TEST_F(ProgressOfCopies, OfStreams) {
  // Smaller: qemu-img is slow to make them.
  make_disk(64u << 20);
  run({"streamOptimized to compressed qcow2",
       "subformat=streamOptimized",
       SourceFormat::kVmdk,
       {.compress = true}});
  run({"streamOptimized to raw",
       "subformat=streamOptimized",
       SourceFormat::kVmdk,
       {.format = OutputFormat::kRaw},
       true});
}

}  // namespace
}  // namespace hyper2kvm::pipeline
