#include "runner/os/error.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace hyper2kvm::os {
namespace {

TEST(Error, IsASentenceWithSubjectProblemAndAdvice) {
  Error error(ErrorKind::kInvalid, "disk-1.vmdk", "grain table 14 points past the end of the file",
              "Export it again.");
  EXPECT_EQ(error.sentence(),
            "disk-1.vmdk: grain table 14 points past the end of the file. Export it again.");
  EXPECT_STREQ(error.what(), error.sentence().c_str());
}

TEST(Error, ContextGoesBeforeTheSubject) {
  Error error(ErrorKind::kSystem, "a.raw", "cannot write", "", EIO);
  Error inner = error.with_context("disk-0");
  EXPECT_EQ(inner.sentence(), "disk-0: a.raw: cannot write");
  EXPECT_EQ(inner.errno_value(), EIO);
  EXPECT_EQ(inner.kind(), ErrorKind::kSystem);
}

TEST(Error, ExitStatusIsTwoOnlyForWhatNeverStarted) {
  EXPECT_EQ(Error(ErrorKind::kUsage, "", "x").exit_status(), 2);
  EXPECT_EQ(Error(ErrorKind::kUnreadable, "", "x").exit_status(), 2);
  EXPECT_EQ(Error(ErrorKind::kInvalid, "", "x").exit_status(), 1);
  EXPECT_EQ(Error(ErrorKind::kSystem, "", "x").exit_status(), 1);
}

TEST(Error, AFullDiskMayPassAndSaysWhatToDo) {
  Error error = system_error(ENOSPC, "write", "/out/a.qcow2");
  EXPECT_TRUE(error.may_pass());
  EXPECT_EQ(error.sentence(),
            "/out/a.qcow2: cannot write: No space left on device. Free some space there or choose another "
            "directory.");
}

TEST(Error, AMissingFileDoesNotPassByWaiting) { EXPECT_FALSE(system_error(ENOENT, "open", "/x").may_pass()); }

}  // namespace
}  // namespace hyper2kvm::os
