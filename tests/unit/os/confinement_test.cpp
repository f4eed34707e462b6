#include "runner/os/confinement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/os/error.h"
#include "runner/os/process.h"

namespace hyper2kvm::os {
namespace {

using testing::HasSubstr;

class Confined : public testing::Test {
 protected:
  Confined() {
    write_text_atomically(place_.path() / "given", "a given file");
    write_text_atomically(place_.path() / "other", "another file");
    make_directories(place_.path() / "room");
  }

  ConfinementRules rules() const {
    ConfinementRules rules = rules_for_a_program(find_program("bash"));
    for (const char* program : {"cat", "rm", "unshare", "setsid", "ls"})
      rules.execute.push_back(find_program(program));
    rules.read.push_back(place_.path() / "given");
    rules.write.push_back(place_.path() / "room");
    return rules;
  }

  // What bash printed, on both streams.
  std::string bash(const std::string& script) {
    Confinement confinement(rules());
    holds_files_ = confinement.holds_files();
    return run_program({.arguments = {"bash", "-c", "exec 2>&1; " + script + "; true"},
                        .working_directory = place_.path(),
                        .confinement = &confinement});
  }

  TemporaryDirectory place_{"confinement-test"};
  bool holds_files_ = false;
};

TEST_F(Confined, ReadsWhatItWasGiven) { EXPECT_EQ(bash("cat given"), "a given file"); }

TEST_F(Confined, ReadsNothingElse) {
  std::string output = bash("cat other; cat /etc/passwd; ls /; ls " + place_.path().string());
  if (!holds_files_) GTEST_SKIP() << "this kernel has no Landlock";
  EXPECT_THAT(output, HasSubstr("other: Permission denied"));
  EXPECT_THAT(output, HasSubstr("/etc/passwd: Permission denied"));
  EXPECT_THAT(output, HasSubstr("'/': Permission denied"));
}

TEST_F(Confined, WritesWhereItMay) {
  EXPECT_EQ(bash("echo text > room/new && cat room/new && rm room/new"), "text\n");
  EXPECT_TRUE(std::filesystem::is_empty(place_.path() / "room"));
}

TEST_F(Confined, WritesNowhereElse) {
  std::string output = bash("echo x > given; echo x > new; rm given");
  if (!holds_files_) GTEST_SKIP() << "this kernel has no Landlock";
  EXPECT_THAT(output, HasSubstr("given: Permission denied"));
  EXPECT_THAT(output, HasSubstr("new: Permission denied"));
  EXPECT_EQ(read_text(place_.path() / "given", 100), "a given file");
}

TEST_F(Confined, ExecutesNothingElse) {
  std::string output = bash("/usr/bin/id");
  if (!holds_files_) GTEST_SKIP() << "this kernel has no Landlock";
  EXPECT_THAT(output, HasSubstr("Permission denied"));
}

TEST_F(Confined, HasNoNetwork) {
  EXPECT_THAT(bash("exec 3<>/dev/tcp/127.0.0.1/1"), HasSubstr("Operation not permitted"));
}

TEST_F(Confined, MakesNoNamespaceAndNoSession) {
  EXPECT_THAT(bash("unshare --user true"), HasSubstr("Operation not permitted"));
  EXPECT_THAT(bash("setsid --fork cat given"), HasSubstr("Operation not permitted"));
}

TEST_F(Confined, ItsChildrenAreConfinedToo) {
  std::string output = bash("bash -c 'cat other'");
  if (!holds_files_) GTEST_SKIP() << "this kernel has no Landlock";
  EXPECT_THAT(output, HasSubstr("Permission denied"));
}

TEST_F(Confined, AProgramThatMayNotBeExecutedDoesNotStart) {
  Confinement confinement(rules_for_a_program(find_program("cat")));
  if (!confinement.holds_files()) GTEST_SKIP() << "this kernel has no Landlock";
  EXPECT_THROW(run_program({.arguments = {"bash", "-c", "true"}, .confinement = &confinement}), Error);
}

TEST_F(Confined, TheCallerIsNot) {
  bash("true");
  EXPECT_EQ(read_text(place_.path() / "other", 100), "another file");
}

}  // namespace
}  // namespace hyper2kvm::os
