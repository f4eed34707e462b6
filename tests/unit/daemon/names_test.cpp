#include "runner/daemon/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hyper2kvm::daemon {
namespace {

TEST(ResultName, AnOrdinaryNameStaysAsHyperexportLooksForIt) {
  for (const char* name : {"Ubuntu-Server", "web 01 (test)", "Büro", "a.b", "x..y"}) {
    EXPECT_EQ(result_name(name).name, name);
    EXPECT_FALSE(result_name(name).changed);
  }
}

TEST(ResultName, AnEmptyNameIsVm) { EXPECT_EQ(result_name("").name, "vm"); }

TEST(ResultName, PathsBecomePlainNames) {
  for (const char* name : {"../../etc/passwd", "/DC1/vm/web01", "..", ".", ".hidden", "a\nb"}) {
    ResultName result = result_name(name);
    EXPECT_TRUE(result.changed) << name;
    EXPECT_EQ(result.name.find_first_of("/\n"), std::string::npos) << result.name;
    EXPECT_NE(result.name[0], '.') << result.name;
  }
}

TEST(ResultName, TwoMachinesNeverShareAName) {
  EXPECT_NE(result_name("a/b").name, result_name("a_b").name);
  EXPECT_NE(result_name("a/b").name, result_name("a\nb").name);
}

TEST(ResultName, ALongNameIsCutBetweenCharacters) {
  std::string name;
  for (int i = 0; i < 200; ++i) name += "ü";
  ResultName result = result_name(name);
  EXPECT_TRUE(result.changed);
  EXPECT_LE(result.name.size(), 200u);
  std::string kept = result.name.substr(0, result.name.size() - 9);
  EXPECT_EQ(kept.size() % 2, 0u);
}

}  // namespace
}  // namespace hyper2kvm::daemon
