#include "runner/pipeline/publication.h"

#include <gtest/gtest.h>

#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::pipeline {
namespace {

namespace fs = std::filesystem;

class PublicationTest : public testing::Test {
 protected:
  void SetUp() override {
    os::make_directories(out());
    os::make_directories(aside());
    os::write_text_atomically(aside() / "new-a", "new a");
    os::write_text_atomically(aside() / "new-b", "new b");
  }
  fs::path out() const { return directory_.path() / "out"; }
  fs::path aside() const { return directory_.path() / "work"; }
  std::string text(const fs::path& path) const { return os::read_text(path, 100); }
  os::TemporaryDirectory directory_{"publication-test"};
};

TEST_F(PublicationTest, WhatIsCommittedStays) {
  {
    Publication publication;
    publication.publish(aside() / "new-a", out() / "a");
    publication.commit();
  }
  EXPECT_EQ(text(out() / "a"), "new a");
}

TEST_F(PublicationTest, WhatIsNotCommittedIsWithdrawn) {
  {
    Publication publication;
    publication.publish(aside() / "new-a", out() / "a");
    publication.publish(aside() / "new-b", out() / "b");
  }
  EXPECT_TRUE(fs::is_empty(out()));
}

TEST_F(PublicationTest, AWithdrawnFileGivesItsNameBackToTheOldOne) {
  os::write_text_atomically(out() / "a", "old a");
  {
    Publication publication;
    publication.publish(aside() / "new-a", out() / "a");
    EXPECT_EQ(text(out() / "a"), "new a");
  }
  EXPECT_EQ(text(out() / "a"), "old a");
}

TEST_F(PublicationTest, ADirectoryUnderTheNameIsRefused) {
  os::make_directories(out() / "a");
  Publication publication;
  EXPECT_THROW(publication.publish(aside() / "new-a", out() / "a"), os::Error);
  EXPECT_EQ(text(aside() / "new-a"), "new a");
}

class SecondRenameFails : public os::FaultHook {
 public:
  SecondRenameFails() { os::set_fault_hook(this); }
  ~SecondRenameFails() override { os::set_fault_hook(nullptr); }
  int before(Operation operation, const fs::path&, std::uint64_t, std::size_t) override {
    return operation == Operation::kRename && ++renames_ == 2 ? EIO : 0;
  }

 private:
  int renames_ = 0;
};

TEST_F(PublicationTest, ARenameThatFailsLeavesTheOldFileInItsPlace) {
  os::write_text_atomically(out() / "a", "old a");
  {
    SecondRenameFails fault;
    Publication publication;
    EXPECT_THROW(publication.publish(aside() / "new-a", out() / "a"), os::Error);
  }
  EXPECT_EQ(text(out() / "a"), "old a");
}

TEST_F(PublicationTest, WhenTheSecondDiskFailsTheFirstIsWithdrawn) {
  {
    SecondRenameFails fault;
    Publication publication;
    publication.publish(aside() / "new-a", out() / "a");
    EXPECT_THROW(publication.publish(aside() / "new-b", out() / "b"), os::Error);
  }
  EXPECT_TRUE(fs::is_empty(out()));
}

}  // namespace
}  // namespace hyper2kvm::pipeline
