// Reading a finished image back, and finding what is wrong with it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/image/byte_order.h"
#include "runner/image/conversion.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "tests/unit/image/disks.h"
#include "tests/unit/image/with_directory.h"

namespace hyper2kvm::image {
namespace {

using contract::OutputFormat;
using contract::SourceFormat;
using ::testing::HasSubstr;

class CheckImage : public testing::WithDirectory {
 protected:
  testing::Random random{3};
  static constexpr std::uint64_t kSize = 8u << 20;
  void SetUp() override { testing::write_random_disk(at("disk.raw"), kSize, random); }
  void make(OutputFormat format) {
    std::filesystem::remove(at("out"));
    testing::convert(at("disk.raw"), SourceFormat::kRaw, at("out"), {.format = format, .compress = true});
  }
  std::string problem_of(OutputFormat format, std::uint64_t size = kSize) {
    try {
      check_image(at("out"), format, size, {});
    } catch (const os::Error& error) {
      EXPECT_EQ(error.kind(), os::ErrorKind::kInvalid) << error.sentence();
      return error.sentence();
    }
    return "";
  }
};

TEST_F(CheckImage, ASoundImagePassesAndGivesItsHash) {
  for (OutputFormat format : {OutputFormat::kQcow2, OutputFormat::kRaw, OutputFormat::kVdi}) {
    make(format);
    CheckResult result = check_image(at("out"), format, kSize, {});
    EXPECT_EQ(result.sha256, sha256_of(testing::whole(at("out")), {}, {}));
    EXPECT_EQ(result.checker, format == OutputFormat::kRaw ? "size and readability" : "qemu-img check");
  }
}

// A hash would have to read them all.
TEST_F(CheckImage, ARawFileOfHolesIsReadWhereItHasData) {
  os::File file = os::File::open(at("large.raw"), os::File::Mode::kCreate);
  file.truncate(std::uint64_t{1} << 40);
  file.write_at(std::uint64_t{1} << 39, std::vector<std::byte>(3u << 20, std::byte{7}));
  const CheckResult result = check_image(at("large.raw"), OutputFormat::kRaw, std::uint64_t{1} << 40, {});
  EXPECT_EQ(result.sha256, "");
  EXPECT_EQ(result.checker, "size and readability");
}

TEST_F(CheckImage, AnImageOfAnotherSizeFails) {
  for (OutputFormat format : {OutputFormat::kQcow2, OutputFormat::kRaw, OutputFormat::kVdi}) {
    make(format);
    EXPECT_THAT(problem_of(format, kSize + 65536),
                HasSubstr("holds a disk of 8388608 bytes instead of 8454144"));
  }
}

TEST_F(CheckImage, DamagedTablesFail) {
  make(OutputFormat::kQcow2);
  std::vector<std::byte> bytes = testing::read_all(at("out"));
  const std::uint64_t l1 = load_big<std::uint64_t>(bytes, 40);
  const std::uint64_t l2 = load_big<std::uint64_t>(bytes, l1) & 0x00fffffffffffe00;
  std::size_t first = l2;
  while (load_big<std::uint64_t>(bytes, first) == 0) first += 8;
  store_big<std::uint64_t>(std::span(bytes), first, (std::uint64_t{1} << 63) | l1);
  testing::write_all(at("out"), bytes);
  EXPECT_THAT(problem_of(OutputFormat::kQcow2), HasSubstr("qemu-img check found errors in it"));
}

TEST_F(CheckImage, ATruncatedImageFails) {
  for (OutputFormat format : {OutputFormat::kQcow2, OutputFormat::kRaw, OutputFormat::kVdi}) {
    make(format);
    std::filesystem::resize_file(at("out"), std::filesystem::file_size(at("out")) / 2);
    EXPECT_NE(problem_of(format), "");
  }
}

TEST_F(CheckImage, AnImageThatRefersToAnotherFileFails) {
  make(OutputFormat::kQcow2);
  std::vector<std::byte> bytes = testing::read_all(at("out"));
  store_big<std::uint64_t>(std::span(bytes), 8, 1024);
  store_big<std::uint32_t>(std::span(bytes), 16, 5);
  std::fill(bytes.begin() + 1024, bytes.begin() + 1029, std::byte{'x'});
  testing::write_all(at("out"), bytes);
  EXPECT_THAT(problem_of(OutputFormat::kQcow2), HasSubstr("refers to another file"));
}

TEST_F(CheckImage, AStopEndsIt) {
  make(OutputFormat::kRaw);
  os::StopSource stop;
  stop.request_stop();
  EXPECT_THROW(check_image(at("out"), OutputFormat::kRaw, kSize, stop.token()), os::Error);
}

}  // namespace
}  // namespace hyper2kvm::image
