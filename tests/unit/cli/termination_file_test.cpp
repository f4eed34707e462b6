#include "runner/cli/termination_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "runner/contract/termination.h"
#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::cli {
namespace {

contract::Report a_report(const std::string& error) {
  contract::Report report;
  report.errors.push_back({"convert", error, {}});
  return report;
}

TEST(TerminationFile, IsWrittenInPlaceBecauseItIsAMount) {
  os::TemporaryDirectory directory("cli-test");
  auto path = directory.path() / "termination-log";
  os::write_text_atomically(path, std::string(8192, 'x'));
  struct stat before {};
  ASSERT_EQ(::stat(path.c_str(), &before), 0);
  write_termination_file(a_report("disk full."), path);
  struct stat after {};
  ASSERT_EQ(::stat(path.c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_EQ(contract::parse_termination_message(os::read_text(path, 4096)).error, "disk full.");
}

TEST(TerminationFile, IsCreatedWhereThereIsNone) {
  os::TemporaryDirectory directory("cli-test");
  write_termination_file(a_report("e"), directory.path() / "new");
  EXPECT_EQ(contract::parse_termination_message(os::read_text(directory.path() / "new", 4096)).failed_stage,
            "convert");
}

TEST(TerminationFile, APlaceThatCannotBeWrittenIsAnError) {
  EXPECT_THROW(write_termination_file(a_report("e"), "/no/such/directory/t"), os::Error);
}

}  // namespace
}  // namespace hyper2kvm::cli
