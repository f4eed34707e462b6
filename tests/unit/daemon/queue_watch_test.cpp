#include "runner/daemon/queue_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace hyper2kvm::daemon {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class QueueWatchTest : public ::testing::Test {
 protected:
  os::TemporaryDirectory directory{"queue-watch-test"};
  QueueWatch watch{directory.path()};
};

TEST_F(QueueWatchTest, AFileIsToldWhenItsWriterClosesIt) {
  std::ofstream file(directory.path() / "a.json");
  file << "{" << std::flush;
  EXPECT_THAT(watch.take_events(), IsEmpty());
  EXPECT_TRUE(watch.writer("a.json").writing);
  file << "}";
  file.close();
  EXPECT_THAT(watch.take_events(), ElementsAre("a.json"));
  EXPECT_TRUE(watch.writer("a.json").closed);
  EXPECT_FALSE(watch.writer("a.json").writing);
}

TEST_F(QueueWatchTest, AFileThatIsMovedHereIsTold) {
  os::write_text_atomically(directory.path() / "a.json", "{}");
  EXPECT_THAT(watch.take_events(), ElementsAre("a.json"));
}

TEST_F(QueueWatchTest, OtherNamesAreNot) {
  std::ofstream(directory.path() / "disk.vmdk") << "x";
  std::ofstream(directory.path() / ".a.json") << "x";
  EXPECT_THAT(watch.take_events(), IsEmpty());
  EXPECT_THAT(watch.scan(), IsEmpty());
}

TEST_F(QueueWatchTest, AScanFindsWhatNobodyTold) {
  std::ofstream(directory.path() / "b.yaml") << "x";
  std::filesystem::create_directory(directory.path() / "folder.json");
  QueueWatch later(directory.path());
  EXPECT_THAT(later.take_events(), IsEmpty());
  EXPECT_THAT(later.scan(), ElementsAre("b.yaml"));
  std::filesystem::remove(directory.path() / "b.yaml");
  EXPECT_THAT(later.scan(), IsEmpty());
}

TEST_F(QueueWatchTest, AnUnknownFileIsNotTakenForAClosedOne) { EXPECT_FALSE(watch.writer("a.json").closed); }

TEST(QueueWatch, ADirectoryThatCannotBeWatchedIsSaidAndScanned) {
  QueueWatch watch("/nowhere/at/all");
  EXPECT_EQ(watch.descriptor(), -1);
  EXPECT_THAT(watch.trouble(), ::testing::HasSubstr("/nowhere/at/all"));
}

}  // namespace
}  // namespace hyper2kvm::daemon
