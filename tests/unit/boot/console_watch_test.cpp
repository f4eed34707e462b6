// What a serial console says, and what is concluded from it.
#include "runner/boot/console_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/contract/text.h"

namespace hyper2kvm::boot {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

ConsoleWatch fed(std::string_view text) {
  ConsoleWatch watch;
  watch.feed(text);
  return watch;
}

struct Saying {
  const char* name;
  std::string text;
  Verdict verdict;
  const char* sign;
};
void PrintTo(const Saying& saying, std::ostream* out) { *out << saying.name; }

class ConsoleWatchOf : public testing::TestWithParam<Saying> {};

TEST_P(ConsoleWatchOf, ConcludesTheSameHoweverTheBytesAreCut) {
  const Saying& saying = GetParam();
  for (std::size_t piece : {std::size_t{1}, std::size_t{3}, std::size_t{7}, saying.text.size()}) {
    ConsoleWatch watch;
    for (std::size_t at = 0; at < saying.text.size(); at += piece)
      watch.feed(std::string_view(saying.text).substr(at, piece));
    EXPECT_EQ(watch.verdict(), saying.verdict) << watch.tail();
    EXPECT_EQ(watch.sign(), saying.sign);
  }
}

constexpr auto kUp = Verdict::kUp;
constexpr auto kFailed = Verdict::kFailed;
constexpr auto kUndecided = Verdict::kUndecided;

INSTANTIATE_TEST_SUITE_P(
    Up, ConsoleWatchOf,
    testing::Values(
        Saying{"Agetty", "\r\nDebian GNU/Linux 12 demo ttyS0\r\n\r\ndemo login: ", kUp, "login prompt"},
        Saying{"WithAKernelMessageBehind", "web01 login: [   31.4] random: crng init done\r\n", kUp,
               "login prompt"},
        Saying{"Autologin", "web01 login: root (automatic login)\r\n", kUp, "login prompt"},
        Saying{"QualifiedHost", "web01.example.com login: ", kUp, "login prompt"},
        Saying{"Target", "[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mMulti-User System\x1b[0m.\r\n",
               kUp, "all services were started"},
        Saying{"NewTarget",
               "[  OK  ] Reached target \x1b[0;1;39mgraphical.target\x1b[0m - Graphical Interface.\r\n", kUp,
               "all services were started"}),
    [](const auto& saying) { return std::string(saying.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Failed, ConsoleWatchOf,
    testing::Values(
        Saying{"Panic",
               "[    2.1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n",
               kFailed, "its kernel panicked"},
        Saying{"InitramfsTools",
               "Gave up waiting for root file system device.  Common problems:\r\n - Boot args\r\n", kFailed,
               "it did not find its root file system"},
        Saying{"InitramfsToolsShell", "\r\n(initramfs) ", kFailed, "it stopped in its initramfs"},
        Saying{"Dracut",
               "Generating \"/run/initramfs/rdsosreport.txt\"\r\n\r\nEntering emergency mode. Exit the shell",
               kFailed, "it fell into emergency mode"},
        Saying{"DracutShell", "dracut:/# ", kFailed, "it stopped in its initramfs"},
        Saying{"Mkinitcpio", "You are now being dropped into an emergency shell.\r\n", kFailed,
               "it did not find its root file system"},
        Saying{"Systemd", "You are in emergency mode. After logging in, type", kFailed,
               "it fell into emergency mode"},
        Saying{"LockedRoot", "Cannot open access to console, the root account is locked.\r\n", kFailed,
               "it fell into emergency mode"},
        Saying{"GrubRescue", "error: no such device: 1234.\r\nEntering rescue mode...\r\ngrub rescue> ",
               kFailed, "its boot loader found nothing to start"},
        Saying{"GrubPrompt", "\x1b[1;1H\x1b[J\x1b[5;3Hgrub> ", kFailed,
               "its boot loader found nothing to start"},
        Saying{"SeaBios",
               "Booting from Hard Disk...\r\nBoot failed: not a bootable disk\r\n\r\nNo bootable device.\r\n",
               kFailed, "its firmware found nothing to start"},
        Saying{"Ovmf", "BdsDxe: No bootable option or device was found.\r\n", kFailed,
               "its firmware found nothing to start"},
        Saying{"EfiShell", "UEFI Interactive Shell v2.2\r\n", kFailed,
               "its firmware found nothing to start"}),
    [](const auto& saying) { return std::string(saying.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Undecided, ConsoleWatchOf,
    testing::Values(
        Saying{"Nothing", " \r\n ", kUndecided, ""},
        Saying{"LastLogin", "Last login: Mon Nov 23 07:00:00 on ttyS0\r\n", kUndecided, ""},
        Saying{"WelcomeOfTheInitramfs", "Welcome to Fedora Linux 39 dracut-059 (Initramfs)!\r\n", kUndecided,
               ""},
        Saying{"OtherTargets", "[  OK  ] Reached target Local File Systems.\r\n", kUndecided, ""},
        Saying{"TheBootLoadersMenu", "GNU GRUB  version 2.06\r\n *Debian GNU/Linux\r\n", kUndecided, ""},
        Saying{"APromptsNameInALine", "note: the grub> prompt\r\n", kUndecided, ""},
        Saying{"SentencesAboutLogin", "please use the login: form of the site\r\n", kUndecided, ""}),
    [](const auto& saying) { return std::string(saying.param.name); });

TEST(ConsoleWatch, TheFirstSignDecides) {
  ConsoleWatch watch = fed("Kernel panic - not syncing: x\n");
  watch.feed("demo login: ");
  EXPECT_EQ(watch.verdict(), Verdict::kFailed);
  watch = fed("demo login: ");
  watch.feed("\nKernel panic - not syncing: x\n");
  EXPECT_EQ(watch.verdict(), Verdict::kUp);
}

TEST(ConsoleWatch, IsSilentUntilSomethingIsSaid) {
  EXPECT_TRUE(fed("").is_silent());
  EXPECT_TRUE(fed("\x1b[2J\r\n   \r\n").is_silent());
  EXPECT_FALSE(fed("x").is_silent());
}

TEST(ConsoleWatch, TheTailHasNoControlCharactersAndIsValidText) {
  std::string tail = fed("one\r\n\x1b]0;title\x07two\x01\x7f\b\r\n\xff\xfe\x9bthree").tail();
  EXPECT_TRUE(contract::is_utf8(tail));
  for (unsigned char c : tail) EXPECT_TRUE(c == '\n' || c >= 0x20) << int{c};
  EXPECT_THAT(tail, HasSubstr("one\ntwo\n"));
  EXPECT_THAT(tail, EndsWith("three"));
  EXPECT_THAT(tail, Not(HasSubstr("title")));
}

TEST(ConsoleWatch, WhatNeverEndsIsKeptWithinBounds) {
  ConsoleWatch watch;
  for (int i = 0; i < 3000; ++i) watch.feed(std::string(1000, 'x'));
  EXPECT_LE(watch.tail().size(), ConsoleWatch::kTail);
  for (int i = 0; i < 3000; ++i) watch.feed("line " + std::to_string(i) + "\n");
  EXPECT_LE(watch.tail().size(), ConsoleWatch::kTail);
  EXPECT_THAT(watch.tail(), HasSubstr("line 2999"));
  // Terminal sequences without an end do not swallow what comes after them.
  watch.feed("\x1b]" + std::string(100'000, 'y'));
  watch.feed("\x1b[" + std::string(100'000, '1') + "\ndemo login: ");
  EXPECT_EQ(watch.verdict(), Verdict::kUp);
}

TEST(ConsoleWatch, TheLastWordsAreTheLastLinesOnOneLine) {
  ConsoleWatch watch = fed("first\r\n\r\nALERT! no root\r\n(initramfs) ");
  EXPECT_EQ(watch.last_words(100), "first | ALERT! no root | (initramfs)");
  EXPECT_EQ(watch.last_words(30), "ALERT! no root | (initramfs)");
  EXPECT_EQ(fed("").last_words(30), "");
  EXPECT_EQ(fed(std::string(100, 'x') + "\n").last_words(10), "xxxxxxx...");
}

}  // namespace
}  // namespace hyper2kvm::boot
