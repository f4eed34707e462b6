#include "runner/guest/text_diff.h"

#include <gtest/gtest.h>

#include <random>

#include "runner/os/process.h"
#include "tests/unit/guest/tree.h"

namespace hyper2kvm::guest {
namespace {

TEST(TextDiff, OfEqualTextsIsEmpty) { EXPECT_EQ(unified_diff("/etc/fstab", "a\nb\n", "a\nb\n"), ""); }

TEST(TextDiff, ShowsThreeLinesAroundAChange) {
  EXPECT_EQ(unified_diff("/etc/fstab", "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n"),
            "--- a/etc/fstab\n+++ b/etc/fstab\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
}

TEST(TextDiff, OfANewFileComesFromNothing) {
  EXPECT_EQ(unified_diff("/x", "", "one\ntwo\n", false, true),
            "--- /dev/null\n+++ b/x\n@@ -0,0 +1,2 @@\n+one\n+two\n");
}

TEST(TextDiff, OfARemovedFileLeadsToNothing) {
  EXPECT_EQ(unified_diff("/x", "one\n", "", true, false), "--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n");
}

TEST(TextDiff, SaysWhereTheLastNewlineIsMissing) {
  EXPECT_EQ(unified_diff("/x", "one", "one\n"),
            "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-one\n\\ No newline at end of file\n+one\n");
}

TEST(TextDiff, IsCutAtItsLimit) {
  std::string before, after;
  for (int line = 0; line < 1000; ++line) after += "line " + std::to_string(line) + "\n";
  std::string diff = unified_diff("/x", before, after, true, true, 500);
  EXPECT_LT(diff.size(), 600u);
  EXPECT_NE(diff.find("left out"), std::string::npos);
}

// What patch(1) makes of the diff and the old text must be the new text.
void expect_that_patch_applies(const std::string& before, const std::string& after) {
  Tree tree;
  tree.file("/file", before).file("/diff", unified_diff("/file", before, after));
  os::run_program({.arguments = {"patch", "-s", "-p1", "-i", "diff"}, .working_directory = tree.top()});
  ASSERT_EQ(tree.read("/file"), after);
}

TEST(TextDiff, IsWhatPatchUnderstands) {
  std::mt19937 random(7);
  for (int round = 0; round < 60; ++round) {
    std::vector<std::string> lines;
    for (unsigned count = random() % 60; count > 0; --count) lines.push_back(std::to_string(random() % 8));
    auto join = [](const std::vector<std::string>& list) {
      std::string text;
      for (const std::string& line : list) text += line + "\n";
      return text;
    };
    std::string before = join(lines);
    for (unsigned change = 1 + random() % 6; change > 0; --change) {
      std::size_t at = lines.empty() ? 0 : random() % lines.size();
      if (random() % 2 == 0 || lines.empty())
        lines.insert(lines.begin() + static_cast<long>(at), "new " + std::to_string(random() % 100));
      else
        lines.erase(lines.begin() + static_cast<long>(at));
    }
    std::string after = join(lines);
    if (round % 5 == 0 && !after.empty()) after.pop_back();
    if (before == after || after.empty() || before.empty()) continue;
    expect_that_patch_applies(before, after);
  }
}

TEST(TextDiff, OfTextsThatShareNothingIsStillCorrect) {
  std::string before, after;
  for (int line = 0; line < 3000; ++line) {
    before += "old " + std::to_string(line) + "\n";
    after += "new " + std::to_string(line) + "\n";
  }
  expect_that_patch_applies(before, after);
}

}  // namespace
}  // namespace hyper2kvm::guest
