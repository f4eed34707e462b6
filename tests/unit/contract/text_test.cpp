#include "runner/contract/text.h"

#include <gtest/gtest.h>

namespace hyper2kvm::contract {
namespace {

TEST(Utf8, WellFormedSequencesAreTold) {
  for (const char* good : {"", "abc", "\u00e9", "\u20ac", "\U0001f600", "\u007f"})
    EXPECT_TRUE(is_utf8(good)) << good;
  for (const char* bad : {"\xff", "\x80", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80",
                          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "a\xe2\x82"})
    EXPECT_FALSE(is_utf8(bad));
}

TEST(Shortened, CutsBetweenCharacters) {
  EXPECT_EQ(shortened("abcdef", 6), "abcdef");
  EXPECT_EQ(shortened("abcdefg", 6), "abc...");
  EXPECT_EQ(shortened("ab\u20acdefg", 7), "ab...");
}

TEST(Printable, HasNoControlCharactersAndIsUtf8) {
  EXPECT_EQ(printable("a\x1b[1m\n\x7f"), "a [1m  ");
  EXPECT_EQ(printable("a\xff z"), "a? z");
  EXPECT_EQ(printable(std::string(1000, 'a'), 10), "aaaaaaa...");
  EXPECT_TRUE(is_utf8(printable("aaaaaaaa\U0001f600\U0001f600", 10)));
}

TEST(ControlCharacters, AreFound) {
  EXPECT_FALSE(has_control_character("caf\u00e9 au lait"));
  EXPECT_TRUE(has_control_character("a\tb"));
  EXPECT_TRUE(has_control_character(std::string_view("\0", 1)));
}

TEST(Trim, TakesOnlyTheBlanksAroundAText) {
  EXPECT_EQ(trim(""), "");
  EXPECT_EQ(trim(" \r\n\t\v\f"), "");
  EXPECT_EQ(trim("two words"), "two words");
  EXPECT_EQ(trim("\t two  words\r\n"), "two  words");
}

}  // namespace
}  // namespace hyper2kvm::contract
