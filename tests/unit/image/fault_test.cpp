// Every open, read, write, sync and resize of a conversion fails once, from every kind of source and to every
// kind of target: each time there is one sentence, and no thread, descriptor or process is left. Sources are
// cut and removed at every such step too.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cctype>
#include <cerrno>
#include <functional>
#include <mutex>

#include "runner/image/conversion.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "tests/unit/image/disks.h"
#include "tests/unit/image/loop_device.h"
#include "tests/unit/image/with_directory.h"

namespace hyper2kvm::image {
namespace {

using contract::OutputFormat;
using contract::SourceFormat;
using ::testing::HasSubstr;

// Fails the n-th operation, and remembers what it was.
class FailsNth : public os::FaultHook {
 public:
  FailsNth(int number, int error) : left_(number), error_(error) { os::set_fault_hook(this); }
  ~FailsNth() override { os::set_fault_hook(nullptr); }
  int before(Operation operation, const std::filesystem::path& path, std::uint64_t, std::size_t) override {
    if (left_.fetch_sub(1) != 1) return 0;
    std::lock_guard lock(mutex_);
    path_ = path;
    operation_ = operation;
    return error_;
  }
  bool happened() const { return left_ <= 0; }
  std::string path() const { return path_.string(); }
  Operation operation() const { return operation_; }

 private:
  std::atomic<int> left_;
  const int error_;
  std::mutex mutex_;
  std::filesystem::path path_;
  Operation operation_ = Operation::kOpen;
};

std::size_t entries_in(const char* directory) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory)) ++count;
  return count;
}

class Faults : public testing::WithDirectory {
 protected:
  static constexpr std::uint64_t kSize = 7u << 20;

  void SetUp() override {
    testing::Random random(8);
    testing::write_random_disk(at("disk.raw"), kSize, random);
    testing::convert_with_qemu(at("disk.raw"), at("disk.vmdk"), "vmdk", "subformat=streamOptimized");
    testing::convert_with_qemu(at("disk.raw"), at("disk.vdi"), "vdi");
    create_overlay(at("overlay.qcow2"), kSize);
  }

  // Fails each operation in turn until a run gets to its end without meeting the fault.
  void fail_everywhere(const std::string& name, SourceFormat format, const ConversionOptions& options,
                       int error) {
    SCOPED_TRACE(name + " to " + testing::qemu_name(options.format));
    const std::vector<std::byte> before = testing::read_all(at(name));
    const bool to_file = out_ == at("out");
    std::filesystem::remove(at("out"));
    const std::size_t files = entries_in(directory.path().c_str());
    const std::size_t threads = entries_in("/proc/self/task");
    const std::size_t descriptors = entries_in("/proc/self/fd");
    int failures = 0;
    for (int number = 1;; number += 1 + number / 64) {
      std::filesystem::remove(at("out"));
      FailsNth fault(number, error);
      std::string problem;
      try {
        SourceImage source = open_source(testing::whole(at(name)), format, "disk0");
        auto conversion = Conversion::create(source, out_, options);
        conversion->copy([](std::uint64_t, std::uint64_t) {}, {});
        conversion->apply_overlay(at("overlay.qcow2"), {});
        conversion->finish();
      } catch (const os::Error& failure) {
        problem = failure.sentence();
        EXPECT_EQ(failure.errno_value(), error) << problem;
      }
      EXPECT_EQ(entries_in("/proc/self/task"), threads) << problem;
      EXPECT_EQ(entries_in("/proc/self/fd"), descriptors) << problem;
      if (!fault.happened()) {
        EXPECT_EQ(problem, "");
        break;
      }
      ++failures;
      EXPECT_THAT(problem, HasSubstr(fault.path())) << "operation " << number;
    }
    EXPECT_GT(failures, 10);
    EXPECT_TRUE(testing::read_all(at(name)) == before);
    // No socket, nothing temporary.
    EXPECT_EQ(entries_in(directory.path().c_str()), files + (to_file ? 1 : 0));
  }

  std::filesystem::path out_ = at("out");
};

constexpr OutputFormat kFormats[] = {OutputFormat::kQcow2, OutputFormat::kRaw, OutputFormat::kVdi};

TEST_F(Faults, AFullDiskIsOneSentenceAtEveryStep) {
  for (OutputFormat format : kFormats)
    fail_everywhere("disk.vmdk", SourceFormat::kVmdk,
                    {.format = format, .compress = true, .scratch = directory.path()}, ENOSPC);
}

TEST_F(Faults, AFullDiskIsOneSentenceAtEveryStepAlsoWhereBlocksAreRead) {
  for (OutputFormat format : kFormats)
    fail_everywhere("disk.vdi", SourceFormat::kVdi, {.format = format, .scratch = directory.path()}, ENOSPC);
  for (ClusterCompression compression : {ClusterCompression::kDeflate, ClusterCompression::kZstd})
    fail_everywhere("disk.raw", SourceFormat::kRaw,
                    {.compress = true, .compression = compression, .scratch = directory.path()}, ENOSPC);
}

TEST_F(Faults, AnInputOutputErrorIsOneSentenceAtEveryStep) {
  for (OutputFormat format : kFormats)
    for (const auto& [name, source] :
         {std::pair{"disk.vmdk", SourceFormat::kVmdk}, std::pair{"disk.raw", SourceFormat::kRaw}})
      fail_everywhere(name, source, {.format = format, .scratch = directory.path()}, EIO);
}

class FaultsOfSource : public Faults, public ::testing::WithParamInterface<testing::Kind> {};

TEST_P(FaultsOfSource, AnInputOutputErrorIsOneSentenceAtEveryStep) {
  os::TemporaryDirectory own("image-test");
  testing::make_kind(GetParam(), at("disk.raw"), own.path());
  // The source lies elsewhere: its name is one that leads there from here.
  fail_everywhere(std::filesystem::relative(own.path(), directory.path()) / "disk", GetParam().format,
                  {.scratch = directory.path()}, EIO);
}

std::string kind_name(const ::testing::TestParamInfo<testing::Kind>& kind) {
  std::string name = kind.param.title();
  for (char& character : name)
    if (std::isalnum(static_cast<unsigned char>(character)) == 0) character = '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Of, FaultsOfSource, ::testing::ValuesIn(testing::every_kind()), kind_name);

TEST_F(Faults, AnErrorOfABlockDeviceIsOneSentenceAtEveryStep) {
  os::TemporaryDirectory own("image-test");
  os::File::open(own.path() / "device", os::File::Mode::kCreate).truncate(16u << 20);
  hyper2kvm::testing::LoopDevice device(own.path() / "device");
  if (device.path().empty()) GTEST_SKIP() << "no loop devices here";
  out_ = device.path();
  for (int error : {EIO, ENOSPC})
    for (const auto& [name, source] :
         {std::pair{"disk.vmdk", SourceFormat::kVmdk}, std::pair{"disk.vdi", SourceFormat::kVdi}})
      fail_everywhere(name, source, {.format = OutputFormat::kRaw, .scratch = directory.path()}, error);
}

TEST_F(Faults, AnErrorWhileHashingIsOneSentence) {
  const std::string right = sha256_of(testing::whole(at("disk.raw")), {}, {});
  fail_everywhere("disk.raw", SourceFormat::kRaw, {.expected_sha256 = right, .scratch = directory.path()},
                  EIO);
}

// The source is cut while it is read: nothing but an error may come of it.
TEST_F(Faults, ASourceThatShrinksIsOneSentence) {
  for (const auto& [name, format] :
       {std::pair{"disk.vmdk", SourceFormat::kVmdk}, std::pair{"disk.raw", SourceFormat::kRaw}}) {
    SourceImage source = open_source(testing::whole(at(name)), format, "disk0");
    std::filesystem::remove(at("out"));
    auto conversion = Conversion::create(source, at("out"), {.scratch = directory.path()});
    std::filesystem::resize_file(at(name), std::filesystem::file_size(at(name)) / 2);
    try {
      conversion->copy([](std::uint64_t, std::uint64_t) {}, {});
      FAIL() << name << " was copied";
    } catch (const os::Error& error) {
      EXPECT_THAT(error.sentence(), HasSubstr("ends too early"));
    }
  }
}

// Does something to the source before the n-th operation.
class SpoilsAtNth : public os::FaultHook {
 public:
  SpoilsAtNth(int number, std::function<void()> spoil) : left_(number), spoil_(std::move(spoil)) {
    os::set_fault_hook(this);
  }
  ~SpoilsAtNth() override { os::set_fault_hook(nullptr); }
  int before(Operation, const std::filesystem::path&, std::uint64_t, std::size_t) override {
    if (left_.fetch_sub(1) == 1) spoil_();
    return 0;
  }
  bool happened() const { return left_ <= 0; }

 private:
  std::atomic<int> left_;
  const std::function<void()> spoil_;
};

// Whatever happens to a source at whatever moment: the copy is whole, or there is one sentence.
class SpoiledSource : public FaultsOfSource {
 protected:
  using Spoil = std::function<void(const std::filesystem::path&)>;

  // Each file of the source, before each operation in turn.
  void spoil_everywhere(const Spoil& spoil) {
    disk_ = testing::read_all(at("disk.raw"));
    std::filesystem::create_directory(own_.path() / "whole");
    testing::make_kind(GetParam(), at("disk.raw"), own_.path() / "whole");
    int failures = 0;
    for (const auto& file : std::filesystem::directory_iterator(own_.path() / "whole"))
      for (int number = 1;; number += 1 + number / 16) {
        SCOPED_TRACE(file.path().filename().string() + ", operation " + std::to_string(number));
        Outcome outcome = try_once(number, [&] { spoil(own_.path() / "source" / file.path().filename()); });
        if (!outcome.copied) ++failures;
        if (outcome.happened) continue;
        EXPECT_TRUE(outcome.copied);
        break;
      }
    EXPECT_GT(failures, 0);
  }

 private:
  struct Outcome {
    bool copied = false;
    bool happened = false;
  };
  Outcome try_once(int number, const std::function<void()>& spoil) {
    std::filesystem::remove(at("out"));
    std::filesystem::remove_all(own_.path() / "source");
    std::filesystem::copy(own_.path() / "whole", own_.path() / "source");
    Outcome outcome;
    SpoilsAtNth fault(number, spoil);
    try {
      SourceImage source =
          open_source(testing::whole(own_.path() / "source" / "disk"), GetParam().format, "disk0");
      auto conversion =
          Conversion::create(source, at("out"), {.format = OutputFormat::kRaw, .scratch = directory.path()});
      conversion->copy([](std::uint64_t, std::uint64_t) {}, {});
      conversion->finish();
      outcome.copied = true;
    } catch (const os::Error& error) {
      EXPECT_THAT(error.sentence(), HasSubstr("source"));
      EXPECT_NE(error.kind(), os::ErrorKind::kInternal) << error.sentence();
    }
    outcome.happened = fault.happened();
    if (outcome.copied) {
      EXPECT_TRUE(testing::read_all(at("out")) == disk_) << "a part is missing and nobody said so";
    }
    return outcome;
  }

  os::TemporaryDirectory own_{"image-test"};
  std::vector<std::byte> disk_;
};

TEST_P(SpoiledSource, ThatShrinksAtAnyStepIsOneSentence) {
  spoil_everywhere([](const std::filesystem::path& path) {
    std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2 / 512 * 512);
  });
}

TEST_P(SpoiledSource, ThatLosesItsEndAtAnyStepIsOneSentence) {
  spoil_everywhere([](const std::filesystem::path& path) {
    const std::uint64_t size = std::filesystem::file_size(path);
    std::filesystem::resize_file(path, size - std::min<std::uint64_t>(size, 300u << 10) / 512 * 512);
  });
}

TEST_P(SpoiledSource, ThatIsEmptiedAtAnyStepIsOneSentence) {
  spoil_everywhere([](const std::filesystem::path& path) { std::filesystem::resize_file(path, 0); });
}

TEST_P(SpoiledSource, ThatVanishesAtAnyStepIsOneSentenceOrWhole) {
  spoil_everywhere([](const std::filesystem::path& path) { std::filesystem::remove(path); });
}

INSTANTIATE_TEST_SUITE_P(Of, SpoiledSource, ::testing::ValuesIn(testing::every_kind()), kind_name);

TEST_F(Faults, ASourceThatVanishesIsOneSentence) {
  SourceImage source = open_source(testing::whole(at("disk.vmdk")), SourceFormat::kVmdk, "disk0");
  auto conversion = Conversion::create(source, at("out"), {});
  std::filesystem::remove(at("disk.vmdk"));
  EXPECT_THROW(conversion->copy([](std::uint64_t, std::uint64_t) {}, {}), os::Error);
}

}  // namespace
}  // namespace hyper2kvm::image
