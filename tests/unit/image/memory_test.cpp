// How much memory a conversion takes, whatever the size of the disk: each runs in a process of its own, whose
// largest resident set the kernel tells.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "runner/image/conversion.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/os/process.h"
#include "tests/unit/image/disks.h"
#include "tests/unit/image/with_directory.h"

namespace hyper2kvm::image {
namespace {

using contract::OutputFormat;
using contract::SourceFormat;

constexpr std::uint64_t kTebibyte = std::uint64_t{1} << 40;

class Memory : public testing::WithDirectory {
 protected:
  testing::Random random{31};

  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "a sanitizer takes several times the memory";
#endif
  }

  // MiB that a conversion took at most; fails the test where it failed.
  long mebibytes(const std::filesystem::path& from, SourceFormat format, const ConversionOptions& options) {
    std::filesystem::remove(at("out"));
    const pid_t child = ::fork();
    if (child == 0) {
      int status = 0;
      try {
        testing::convert(from, format, at("out"), options);
      } catch (const os::Error& error) {
        std::fprintf(stderr, "%s\n", error.sentence().c_str());
        status = 1;
      }
      ::_exit(status);
    }
    int status = -1;
    rusage use{};
    EXPECT_EQ(::wait4(child, &status, 0, &use), child);
    EXPECT_EQ(status, 0);
    return use.ru_maxrss / 1024;
  }

  // Data in many places, far apart.
  void write_sparse_disk(std::uint64_t size, int places = 300) {
    os::File file = os::File::open(at("disk.raw"), os::File::Mode::kCreate);
    file.truncate(size);
    for (int i = 0; i < places; ++i)
      file.write_at(random() % (size / 65536 - 2) * 65536,
                    testing::make_content(testing::Content::kText, 100000, random));
  }
};

TEST_F(Memory, ADiskOfNearlySixteenTebibytesTakesLittle) {
  // The largest file of ext4 is a little smaller than 16 TiB.
  write_sparse_disk(16 * kTebibyte - (1u << 20));
  for (const ConversionOptions& options :
       {ConversionOptions{.format = OutputFormat::kQcow2}, ConversionOptions{.compress = true},
        ConversionOptions{.compress = true, .compression = ClusterCompression::kZstd},
        ConversionOptions{.format = OutputFormat::kRaw}, ConversionOptions{.format = OutputFormat::kVdi}})
    EXPECT_LT(mebibytes(at("disk.raw"), SourceFormat::kRaw, options), 256)
        << testing::qemu_name(options.format);
}

TEST_F(Memory, AQcow2ImageOfSixteenTebibytesTakesLittle) {
  os::ProcessOptions process;
  process.arguments = {"qemu-img", "create", "-q", "-f", "qcow2", at("disk.qcow2").string(), "16T"};
  os::run_program(process);
  process.arguments = {"qemu-io", "-f", "qcow2"};
  for (int i = 0; i < 100; ++i) {
    process.arguments.push_back("-c");
    process.arguments.push_back("write -P 7 " + std::to_string(random() % (16 * kTebibyte / 65536) * 65536) +
                                " 64k");
  }
  process.arguments.push_back(at("disk.qcow2").string());
  os::run_program(process);
  EXPECT_LT(mebibytes(at("disk.qcow2"), SourceFormat::kQcow2, {}), 256);
  testing::expect_sound(at("out"), "qcow2");
}

TEST_F(Memory, ImagesOfManyTebibytesInOtherFormatsTakeLittle) {
  const testing::Kind kinds[] = {
      {"vhdx", "block_size=1M", SourceFormat::kVhdx, Layout::kMapped},
      {"vdi", "", SourceFormat::kVdi, Layout::kMapped},
      {"vmdk", "subformat=monolithicSparse", SourceFormat::kVmdk, Layout::kMapped},
      {"vmdk", "subformat=streamOptimized", SourceFormat::kVmdk, Layout::kStreamOptimized}};
  write_sparse_disk(16 * kTebibyte - (1u << 20), 20);
  for (const testing::Kind& kind : kinds) {
    // qemu-img writes all tables of a VMDK, whose holes a stream's reader has to read.
    if (kind.format == SourceFormat::kVmdk) std::filesystem::resize_file(at("disk.raw"), 4 * kTebibyte);
    SCOPED_TRACE(kind.title());
    std::filesystem::remove(at("disk"));
    testing::convert_with_qemu(at("disk.raw"), at("disk"), kind.driver, kind.options);
    EXPECT_LT(mebibytes(at("disk"), kind.format, {.compress = true}), 256);
    testing::expect_sound(at("out"), "qcow2");
  }
}

TEST_F(Memory, ManyThreadsTakeLittleToo) {
  testing::write_random_disk(at("disk.raw"), 96u << 20, random);
  testing::convert_with_qemu(at("disk.raw"), at("disk.vmdk"), "vmdk", "subformat=streamOptimized");
  for (const ConversionOptions& options : {ConversionOptions{.format = OutputFormat::kRaw, .threads = 16},
                                           ConversionOptions{.compress = true, .threads = 16}})
    EXPECT_LT(mebibytes(at("disk.vmdk"), SourceFormat::kVmdk, options), 256);
  EXPECT_LT(mebibytes(at("disk.raw"), SourceFormat::kRaw,
                      {.compress = true, .compression = ClusterCompression::kZstd, .threads = 16}),
            256);
}

}  // namespace
}  // namespace hyper2kvm::image
