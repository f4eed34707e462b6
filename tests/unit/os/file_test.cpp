#include "runner/os/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include "runner/os/error.h"

namespace hyper2kvm::os {
namespace {

namespace fs = std::filesystem;

class FailsOn : public FaultHook {
 public:
  FailsOn(Operation operation, int error) : operation_(operation), error_(error) { set_fault_hook(this); }
  ~FailsOn() override { set_fault_hook(nullptr); }
  int before(Operation operation, const fs::path&, std::uint64_t, std::size_t) override {
    return operation == operation_ ? error_ : 0;
  }

 private:
  Operation operation_;
  int error_;
};

std::vector<fs::path> names_in(const fs::path& directory) {
  std::vector<fs::path> names;
  for (const auto& entry : fs::directory_iterator(directory)) names.push_back(entry.path().filename());
  return names;
}

TEST(File, ReadsBackWhatWasWrittenAtAnOffset) {
  TemporaryDirectory directory("file-test");
  File file = File::open(directory.path() / "a", File::Mode::kCreate);
  file.write_at(4096, std::as_bytes(std::span("hello", 5)));
  std::vector<std::byte> buffer(5);
  file.read_exactly_at(4096, buffer);
  EXPECT_EQ(std::memcmp(buffer.data(), "hello", 5), 0);
  EXPECT_EQ(file.size(), 4101u);
}

TEST(File, AShortFileIsAnErrorThatNamesIt) {
  TemporaryDirectory directory("file-test");
  write_text_atomically(directory.path() / "short", "abc");
  File file = File::open(directory.path() / "short", File::Mode::kRead);
  std::vector<std::byte> buffer(10);
  try {
    file.read_exactly_at(0, buffer);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInvalid);
    EXPECT_NE(error.sentence().find("short: ends too early"), std::string::npos);
  }
}

TEST(File, RefusesAFifoWithoutHanging) {
  TemporaryDirectory directory("file-test");
  fs::path fifo = directory.path() / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_THROW(File::open(fifo, File::Mode::kRead), Error);
}

TEST(File, CreateRefusesAnExistingFile) {
  TemporaryDirectory directory("file-test");
  write_text_atomically(directory.path() / "there", "x");
  EXPECT_THROW(File::open(directory.path() / "there", File::Mode::kCreate), Error);
}

TEST(File, ZeroAtMakesAHoleThatReadsAsZeroesAndKeepsTheSize) {
  TemporaryDirectory directory("file-test");
  File file = File::open(directory.path() / "a", File::Mode::kCreate);
  std::vector<std::byte> ones(3u << 16, std::byte{1});
  file.write_at(0, ones);
  file.zero_at(1u << 16, 1u << 16);
  EXPECT_EQ(file.size(), ones.size());
  std::vector<std::byte> back(ones.size());
  file.read_exactly_at(0, back);
  EXPECT_EQ(back[0], std::byte{1});
  EXPECT_EQ(back[1u << 16], std::byte{0});
  EXPECT_EQ(back[(2u << 16) - 1], std::byte{0});
  EXPECT_EQ(back[2u << 16], std::byte{1});
}

TEST(File, NextDataSkipsHolesAndEndsAtTheEnd) {
  TemporaryDirectory directory("file-test");
  File file = File::open(directory.path() / "a", File::Mode::kCreate);
  file.truncate(64u << 20);
  std::vector<std::byte> ones(1u << 20, std::byte{1});
  file.write_at(32u << 20, ones);
  // A file system without holes says "all of it", which is right too.
  File::Range range = file.next_data(0);
  EXPECT_LE(range.offset, 32u << 20);
  EXPECT_GE(range.offset + range.length, 33u << 20);
  EXPECT_EQ(file.next_data(64u << 20).length, 0u);
}

TEST(AtomicWrite, ReplacesTheWholeText) {
  TemporaryDirectory directory("file-test");
  fs::path path = directory.path() / "state";
  write_text_atomically(path, "one and more");
  write_text_atomically(path, "two");
  EXPECT_EQ(read_text(path, 100), "two");
  EXPECT_EQ(names_in(directory.path()).size(), 1u);
}

TEST(AtomicWrite, AFailedSyncLeavesTheOldTextAndNothingElse) {
  TemporaryDirectory directory("file-test");
  fs::path path = directory.path() / "state";
  write_text_atomically(path, "old");
  {
    FailsOn fault(FaultHook::Operation::kSync, EIO);
    EXPECT_THROW(write_text_atomically(path, "new"), Error);
  }
  EXPECT_EQ(read_text(path, 100), "old");
  EXPECT_EQ(names_in(directory.path()).size(), 1u);
}

TEST(Rename, WithoutReplacingSaysThatTheTargetExists) {
  TemporaryDirectory directory("file-test");
  write_text_atomically(directory.path() / "a", "a");
  write_text_atomically(directory.path() / "b", "b");
  try {
    rename_no_replace(directory.path() / "a", directory.path() / "b");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.errno_value(), EEXIST);
  }
  EXPECT_EQ(read_text(directory.path() / "b", 10), "b");
}

TEST(ReadText, RefusesWhatIsTooLong) {
  TemporaryDirectory directory("file-test");
  write_text_atomically(directory.path() / "long", std::string(1000, 'x'));
  EXPECT_THROW(read_text(directory.path() / "long", 999), Error);
  EXPECT_EQ(read_text(directory.path() / "long", 1000).size(), 1000u);
}

TEST(TemporaryDirectory, GoesWithAllInIt) {
  fs::path path;
  {
    TemporaryDirectory directory("file-test");
    path = directory.path();
    make_directories(path / "a" / "b");
    write_text_atomically(path / "a" / "b" / "c", "x");
    struct stat status;
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0700u);
  }
  EXPECT_FALSE(fs::exists(path));
}

}  // namespace
}  // namespace hyper2kvm::os
