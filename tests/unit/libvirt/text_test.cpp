#include "runner/libvirt/text.h"

#include <gtest/gtest.h>

namespace hyper2kvm::libvirt {
namespace {

TEST(PlainText, IsUtf8WithoutControlCharacters) {
  for (const char* text : {"", "plain", "Büro 日本語 🙂", "\xf4\x8f\xbf\xbd"})
    EXPECT_TRUE(is_plain_text(text));
  for (const char* text : {"a\nb", "\t", "\x7f", "\xc2\x85", "\xe2\x80\xa8", "\xff", "\xc3", "\xc0\x80",
                           "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xef\xbf\xbe"})
    EXPECT_FALSE(is_plain_text(text)) << text;
}

TEST(OneLine, ReplacesWhatIsNotPlain) {
  EXPECT_EQ(one_line("a\nb\tc", 100), "a b c");
  EXPECT_EQ(one_line("a\xff\xc3", 100), "a??");
  EXPECT_EQ(one_line("Büro", 100), "Büro");
}

TEST(OneLine, IsCutBetweenCharacters) {
  EXPECT_EQ(one_line("aü", 2), "a");
  EXPECT_EQ(one_line("aü", 3), "aü");
  EXPECT_EQ(one_line("abc", 0), "");
}

}  // namespace
}  // namespace hyper2kvm::libvirt
