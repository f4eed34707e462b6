// Every read, write, sync and resize of a conversion fails once: each time there is one sentence, and no
// thread, descriptor or process is left.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <mutex>

#include "runner/image/conversion.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "tests/unit/image/disks.h"

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

class Faults : public ::testing::Test {
 protected:
  os::TemporaryDirectory directory{"image-test"};
  std::filesystem::path at(const std::string& name) const { return directory.path() / name; }

  void SetUp() override {
    testing::Random random(8);
    testing::write_random_disk(at("disk.raw"), 12u << 20, random);
    testing::convert_with_qemu(at("disk.raw"), at("disk.vmdk"), "vmdk", "subformat=streamOptimized");
    testing::convert_with_qemu(at("disk.raw"), at("disk.vdi"), "vdi");
    create_overlay(at("overlay.qcow2"), 12u << 20);
  }

  // Fails each operation in turn until a run gets to its end without meeting the fault.
  void fail_everywhere(const std::string& name, SourceFormat format, const ConversionOptions& options,
                       int error) {
    SCOPED_TRACE(name + " to " + testing::qemu_name(options.format));
    const std::vector<std::byte> before = testing::read_all(at(name));
    const std::size_t threads = entries_in("/proc/self/task");
    const std::size_t descriptors = entries_in("/proc/self/fd");
    int failures = 0;
    for (int number = 1;; number += 1 + number / 16) {
      std::filesystem::remove(at("out"));
      FailsNth fault(number, error);
      std::string problem;
      try {
        SourceImage source = open_source(testing::whole(at(name)), format, "disk0");
        auto conversion = Conversion::create(source, at("out"), options);
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
      // A file system that cannot free space gets zeroes written instead, and that is no error.
      EXPECT_THAT(problem, HasSubstr(fault.path())) << "operation " << number;
    }
    EXPECT_GT(failures, 10);
    EXPECT_TRUE(testing::read_all(at(name)) == before);
    EXPECT_THAT(entries_in(directory.path().c_str()), 5u);  // no socket, nothing temporary
  }
};

TEST_F(Faults, AFullDiskIsOneSentenceAtEveryStep) {
  for (OutputFormat format : {OutputFormat::kQcow2, OutputFormat::kRaw, OutputFormat::kVdi})
    fail_everywhere("disk.vmdk", SourceFormat::kVmdk,
                    {.format = format, .compress = true, .scratch = directory.path()}, ENOSPC);
}

TEST_F(Faults, AnInputOutputErrorIsOneSentenceAtEveryStep) {
  for (const auto& [name, format] :
       {std::pair{"disk.vmdk", SourceFormat::kVmdk}, std::pair{"disk.raw", SourceFormat::kRaw},
        std::pair{"disk.vdi", SourceFormat::kVdi}})
    fail_everywhere(name, format, {.scratch = directory.path()}, EIO);
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
    std::filesystem::resize_file(at(name), 3u << 20);
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
class SpoiledSource : public Faults {
 protected:
  void spoil_everywhere(const std::function<void(const std::filesystem::path&)>& spoil) {
    const std::vector<std::byte> disk = testing::read_all(at("disk.raw"));
    for (const auto& [name, format] :
         {std::pair{"disk.vmdk", SourceFormat::kVmdk}, std::pair{"disk.raw", SourceFormat::kRaw},
          std::pair{"disk.vdi", SourceFormat::kVdi}}) {
      const std::vector<std::byte> whole_source = testing::read_all(at(name));
      int failures = 0;
      for (int number = 1;; number += 1 + number / 8) {
        SCOPED_TRACE(std::string(name) + ", operation " + std::to_string(number));
        std::filesystem::remove(at("out"));
        std::filesystem::remove(at("source"));
        testing::write_all(at("source"), whole_source);
        bool copied = false;
        bool happened = false;
        {
          SpoilsAtNth fault(number, [&] { spoil(at("source")); });
          try {
            SourceImage source = open_source(testing::whole(at("source")), format, "disk0");
            auto conversion = Conversion::create(source, at("out"),
                                                 {.format = OutputFormat::kRaw, .scratch = directory.path()});
            conversion->copy([](std::uint64_t, std::uint64_t) {}, {});
            conversion->finish();
            copied = true;
          } catch (const os::Error& error) {
            ++failures;
            EXPECT_THAT(error.sentence(), HasSubstr("source"));
            EXPECT_NE(error.kind(), os::ErrorKind::kInternal) << error.sentence();
          }
          happened = fault.happened();
        }
        if (copied) {
          EXPECT_TRUE(testing::read_all(at("out")) == disk) << "a part is missing and nobody said so";
        }
        if (!happened) {
          EXPECT_TRUE(copied);
          break;
        }
      }
      EXPECT_GT(failures, 0) << name;
    }
  }
};

TEST_F(SpoiledSource, ThatShrinksAtAnyStepIsOneSentence) {
  spoil_everywhere([](const std::filesystem::path& path) { std::filesystem::resize_file(path, 3u << 20); });
}

TEST_F(SpoiledSource, ThatIsEmptiedAtAnyStepIsOneSentence) {
  spoil_everywhere([](const std::filesystem::path& path) { std::filesystem::resize_file(path, 0); });
}

TEST_F(SpoiledSource, ThatVanishesAtAnyStepIsOneSentenceOrWhole) {
  spoil_everywhere([](const std::filesystem::path& path) { std::filesystem::remove(path); });
}

TEST_F(Faults, ASourceThatVanishesIsOneSentence) {
  SourceImage source = open_source(testing::whole(at("disk.vmdk")), SourceFormat::kVmdk, "disk0");
  auto conversion = Conversion::create(source, at("out"), {});
  std::filesystem::remove(at("disk.vmdk"));
  EXPECT_THROW(conversion->copy([](std::uint64_t, std::uint64_t) {}, {}), os::Error);
}

}  // namespace
}  // namespace hyper2kvm::image
