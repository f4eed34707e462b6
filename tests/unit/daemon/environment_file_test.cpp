#include "runner/daemon/environment_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::daemon {
namespace {

std::string value(const std::string& text) {
  Variables variables = parse_environment(text);
  auto found = variables.find("A");
  return found == variables.end() ? "(unset)" : found->second;
}

TEST(EnvironmentFile, PlainValuesLoseTheBlanksAroundThem) {
  EXPECT_EQ(value("A=b c  \n"), "b c");
  EXPECT_EQ(value("  A  =  b\n"), "b");
  EXPECT_EQ(value("A="), "");
  EXPECT_EQ(value("A=b\r\n"), "b");
}

TEST(EnvironmentFile, CommentsAndLinesWithoutAnEqualsSignAreSkipped) {
  EXPECT_EQ(value("# A=1\n; A=2\n"), "(unset)");
  EXPECT_EQ(value("A\nA=1\n"), "1");
  EXPECT_EQ(value("# hides the next \\\nA=1\n"), "(unset)");
}

TEST(EnvironmentFile, AHashInsideAValueIsPartOfIt) { EXPECT_EQ(value("A=b#c"), "b#c"); }

TEST(EnvironmentFile, TheLastValueOfAKeyStands) { EXPECT_EQ(value("A=1\nA=2\n"), "2"); }

TEST(EnvironmentFile, DoubleQuotesKeepBlanksAndEscapeFourCharacters) {
  EXPECT_EQ(value("A=\" b c \"\n"), " b c ");
  EXPECT_EQ(value(R"(A="a\"b\\c\$d\`e\f")"), R"(a"b\c$d`e\f)");
  EXPECT_EQ(value("A=\"one \\\ntwo\"\n"), "one two");
  EXPECT_EQ(value("A=\"one\ntwo\"\n"), "one\ntwo");
}

TEST(EnvironmentFile, SingleQuotesEscapeNothing) { EXPECT_EQ(value(R"(A='a\"b$c')"), R"(a\"b$c)"); }

TEST(EnvironmentFile, QuotedPartsStandTogether) { EXPECT_EQ(value("A=\"b\" 'c'\n"), "bc"); }

TEST(EnvironmentFile, AQuoteInsideAPlainValueIsAnOrdinaryCharacter) {
  EXPECT_EQ(value("A=it's \"so\"\n"), "it's \"so\"");
}

TEST(EnvironmentFile, ABackslashEscapesInAPlainValueAndJoinsLines) {
  EXPECT_EQ(value("A=b\\ \\c\n"), "b c");
  EXPECT_EQ(value("A=b\\\nc\n"), "bc");
}

TEST(EnvironmentFile, NothingIsExpanded) { EXPECT_EQ(value("B=1\nA=$B ${B} %i\n"), "$B ${B} %i"); }

TEST(EnvironmentFile, WhatIsNoNameIsNoVariable) {
  EXPECT_THAT(parse_environment("1A=x\nexport A=x\nA-B=x\n_a1=y"),
              ::testing::ElementsAre(std::pair<const std::string, std::string>("_a1", "y")));
}

TEST(EnvironmentFile, UnfinishedTextIsReadAsFarAsItGoes) {
  EXPECT_EQ(value("A=\"b"), "b");
  EXPECT_EQ(value("A='b"), "b");
  EXPECT_EQ(value("A=b\\"), "b");
  EXPECT_EQ(value("A"), "(unset)");
}

TEST(EnvironmentFile, AFileThatIsAbsentSetsNothing) {
  EXPECT_TRUE(read_environment_file("/nowhere/hyper2kvm.conf").empty());
}

TEST(EnvironmentFile, AFileThatCannotBeReadIsAnError) {
  os::TemporaryDirectory directory("environment-test");
  std::filesystem::create_directory(directory.path() / "hyper2kvm.conf");
  EXPECT_THROW(read_environment_file(directory.path() / "hyper2kvm.conf"), os::Error);
}

}  // namespace
}  // namespace hyper2kvm::daemon
