#include "operator/kube/token_source.h"

#include <gtest/gtest.h>

#include <fstream>

#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::kube {
namespace {

class TokenFile : public testing::Test {
 protected:
  void write(const std::string& token) { os::write_text_atomically(path, token); }
  os::TemporaryDirectory directory{"token-test"};
  std::filesystem::path path = directory.path() / "token";
};

TEST(TokenSource, AFixedTokenStays) {
  TokenSource source("abc\n", "");
  EXPECT_EQ(source.token(), "abc");
  EXPECT_FALSE(source.refresh("abc"));
}

TEST(TokenSource, NoTokenIsNoToken) { EXPECT_EQ(TokenSource("", "").token(), ""); }

TEST_F(TokenFile, IsReadAgainWhenItIsReplaced) {
  write("first\n");
  TokenSource source("ignored", path);
  EXPECT_EQ(source.token(), "first");
  write("second\n");
  EXPECT_EQ(source.token(), "second");
}

TEST_F(TokenFile, IsFollowedThroughTheLinkThatTheKubeletSwaps) {
  std::filesystem::create_directory(directory.path() / "v1");
  std::filesystem::create_directory(directory.path() / "v2");
  os::write_text_atomically(directory.path() / "v1" / "token", "first");
  os::write_text_atomically(directory.path() / "v2" / "token", "other");
  std::filesystem::create_directory_symlink("v1", directory.path() / "..data");
  std::filesystem::create_symlink("..data/token", path);
  TokenSource source("", path);
  EXPECT_EQ(source.token(), "first");
  std::filesystem::create_directory_symlink("v2", directory.path() / "..tmp");
  std::filesystem::rename(directory.path() / "..tmp", directory.path() / "..data");
  EXPECT_EQ(source.token(), "other");
}

TEST_F(TokenFile, IsReadAgainWhenItsTokenIsRefusedThoughItLooksTheSame) {
  write("first");
  TokenSource source("", path);
  EXPECT_EQ(source.token(), "first");
  // Same inode, size and time: only a refusal tells.
  auto time = std::filesystem::last_write_time(path);
  std::ofstream(path, std::ios::in | std::ios::out) << "other";
  std::filesystem::last_write_time(path, time);
  EXPECT_EQ(source.token(), "first");
  EXPECT_TRUE(source.refresh("first"));
  EXPECT_EQ(source.token(), "other");
  EXPECT_FALSE(source.refresh("other"));
}

TEST_F(TokenFile, ThatIsGoneForAMomentLeavesTheOldToken) {
  write("first");
  TokenSource source("", path);
  EXPECT_EQ(source.token(), "first");
  std::filesystem::remove(path);
  EXPECT_EQ(source.token(), "first");
}

TEST_F(TokenFile, ThatWasNeverThereIsAnErrorThatMayPass) {
  TokenSource source("", path);
  try {
    source.token();
    FAIL();
  } catch (const os::Error& error) {
    EXPECT_TRUE(error.may_pass());
  }
  write("late");
  EXPECT_EQ(source.token(), "late");
}

TEST_F(TokenFile, CannotSmuggleAHeaderIn) {
  write("abc\r\nX-Remote-User: admin");
  EXPECT_THROW(TokenSource("", path).token(), os::Error);
  EXPECT_THROW(TokenSource("a b", ""), os::Error);
}

}  // namespace
}  // namespace hyper2kvm::kube
