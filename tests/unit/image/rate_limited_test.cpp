// The rate limit counts every byte that a conversion reads and every byte that it writes: of each kind of
// source, to each kind of target, and of the overlay.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>

#include "runner/image/conversion.h"
#include "runner/os/file.h"
#include "runner/os/process.h"
#include "tests/unit/image/disks.h"
#include "tests/unit/image/waiting_clock.h"
#include "tests/unit/image/with_directory.h"

namespace hyper2kvm::image {
namespace {

using namespace std::chrono_literals;
using contract::OutputFormat;
using contract::SourceFormat;

// A limiter that tells how much it has let through.
class Meter {
 public:
  std::shared_ptr<RateLimiter> limiter() { return limiter_; }
  std::uint64_t bytes() {
    // Waits for all before it; the limiter forgives 50 ms.
    limiter_->pass(1, [] {});
    const std::chrono::duration<double> passed = clock_->now() - testing::WaitingClock::kBegin + 50ms;
    return static_cast<std::uint64_t>(passed.count() * kRate);
  }

 private:
  static constexpr std::uint32_t kRate = 1'000'000;
  std::shared_ptr<testing::WaitingClock> clock_ = std::make_shared<testing::WaitingClock>();
  std::shared_ptr<RateLimiter> limiter_ = testing::limiter_of(clock_, kRate);
};

class RateLimited : public testing::WithDirectory {
 protected:
  testing::Random random{51};

  // Tables and headers are not counted, and a file system rounds.
  static constexpr std::uint64_t kUncounted = 1u << 20;

  void expect_counted(const std::filesystem::path& disk, SourceFormat format, ConversionOptions options) {
    Meter meter;
    options.limiter = meter.limiter();
    std::filesystem::remove(at("out"));
    const ConversionResult result = testing::convert(disk, format, at("out"), options);
    const std::uint64_t moved = result.bytes_read + result.file_size;
    const std::uint64_t counted = meter.bytes();
    EXPECT_GE(counted + kUncounted, moved);
    EXPECT_LE(counted, moved + kUncounted);
  }
};

TEST_F(RateLimited, EveryKindOfSourceAndTargetIsCounted) {
  testing::write_random_disk(at("disk.raw"), 12u << 20, random);
  for (const testing::Kind& kind : testing::every_kind()) {
    os::TemporaryDirectory own("image-test");
    const std::filesystem::path disk = testing::make_kind(kind, at("disk.raw"), own.path());
    for (const ConversionOptions& options :
         {ConversionOptions{.format = OutputFormat::kQcow2}, ConversionOptions{.format = OutputFormat::kRaw},
          ConversionOptions{.format = OutputFormat::kVdi}, ConversionOptions{.compress = true}}) {
      SCOPED_TRACE(kind.title() + " to " + testing::qemu_name(options.format));
      expect_counted(disk, kind.format, options);
    }
  }
}

TEST_F(RateLimited, WhatIsHashedInTheSamePassIsCountedOnce) {
  testing::write_random_disk(at("disk.raw"), 12u << 20, random);
  expect_counted(
      at("disk.raw"), SourceFormat::kRaw,
      {.format = OutputFormat::kRaw, .expected_sha256 = sha256_of(testing::whole(at("disk.raw")), {}, {})});
}

TEST_F(RateLimited, AnOverlayIsCountedWhenItIsReadAndWhenItIsWritten) {
  const std::uint64_t size = 16u << 20;
  os::File::open(at("disk.raw"), os::File::Mode::kCreate).truncate(size);
  create_overlay(at("overlay.qcow2"), size);
  os::ProcessOptions process;
  process.arguments = {"qemu-io", "-f", "qcow2", "-c", "write -P 5 1M 8M", at("overlay.qcow2").string()};
  os::run_program(process);
  for (OutputFormat format : {OutputFormat::kQcow2, OutputFormat::kRaw, OutputFormat::kVdi}) {
    Meter meter;
    std::filesystem::remove(at("out"));
    SourceImage source = open_source(testing::whole(at("disk.raw")), SourceFormat::kRaw, "disk0");
    auto conversion = Conversion::create(source, at("out"), {.format = format, .limiter = meter.limiter()});
    conversion->copy([](std::uint64_t, std::uint64_t) {}, {});
    conversion->apply_overlay(at("overlay.qcow2"), {});
    conversion->finish();
    EXPECT_GE(meter.bytes() + kUncounted, 16u << 20);
  }
}

TEST_F(RateLimited, TheCheckOfAFinishedImageIsCounted) {
  testing::write_random_disk(at("disk.raw"), 16u << 20, random);
  Meter meter;
  check_image(at("disk.raw"), OutputFormat::kRaw, 16u << 20, {}, meter.limiter().get());
  EXPECT_GE(meter.bytes() + kUncounted, 16u << 20);
}

}  // namespace
}  // namespace hyper2kvm::image
