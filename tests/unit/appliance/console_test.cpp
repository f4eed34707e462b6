#include "runner/appliance/console.h"

#include <gtest/gtest.h>

namespace hyper2kvm::appliance {
namespace {

ConsoleLog log_of(std::string_view text) {
  ConsoleLog log;
  log.append(text);
  return log;
}

TEST(ConsoleLog, KeepsAllOfAShortOne) { EXPECT_EQ(log_of("a\nb\n").text(), "a\nb\n"); }

TEST(ConsoleLog, KeepsTheBeginningAndTheEndOfALongOne) {
  ConsoleLog log;
  log.append("the beginning\n");
  for (int line = 0; line < 100'000; ++line) log.append("line " + std::to_string(line) + "\n");
  std::string text = log.text();
  EXPECT_LT(text.size(), ConsoleLog::kHead + ConsoleLog::kTail + 100);
  EXPECT_TRUE(text.starts_with("the beginning\nline 0\n"));
  EXPECT_TRUE(text.ends_with("line 99998\nline 99999\n"));
  EXPECT_NE(text.find("(left out)"), std::string::npos);
}

TEST(ConsoleLog, OnePieceMayBeLongerThanAllThatIsKept) {
  ConsoleLog log;
  log.append("start " + std::string(10u << 20, 'x') + " end");
  std::string text = log.text();
  EXPECT_LT(text.size(), ConsoleLog::kHead + ConsoleLog::kTail + 100);
  EXPECT_TRUE(text.starts_with("start xxx"));
  EXPECT_TRUE(text.ends_with("xxx end"));
}

TEST(ConsoleLog, TheReasonIsTheLastLineOfAnOrdinaryEnd) {
  EXPECT_EQ(log_of("[    0.100000] first\n[    0.490000] reboot: System halted\n").reason(),
            "reboot: System halted");
}

TEST(ConsoleLog, TellsACrashOfWhatHasHaltedFromOneOfWhatHasNot) {
  EXPECT_TRUE(log_of("[    0.490000] reboot: System halted\n").halted());
  EXPECT_TRUE(log_of("<0>[    0.490000] reboot: Power down\n").halted());
  EXPECT_TRUE(
      log_of("[    0.490000] reboot: System halted\n"
             "[    0.490000] Kernel panic - not syncing: Kernel mode fault at addr 0x14, ip 0x60052f5d\n")
          .halted());
  EXPECT_FALSE(
      log_of("[    0.480000] Kernel panic - not syncing: Kernel mode fault at addr 0x14, ip 0x60052f5d\n"
             "[    0.490000] reboot: System halted\n")
          .halted());
  EXPECT_FALSE(log_of("[    0.490000] the guest says reboot: System halted\n").halted());
  // What a program writes into the kernel's log has another level than the kernel's own lines.
  EXPECT_FALSE(log_of("<8>[    0.490000] reboot: System halted\n").halted());
  EXPECT_FALSE(log_of("").halted());
}

TEST(ConsoleLog, TheReasonOfACrashIsThePanicAndNotItsDump) {
  EXPECT_EQ(log_of("[    1.360000] EXT4-fs error (device vda1): bad header\n"
                   "[    4.510000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b\n"
                   "[    4.510000] CPU: 0 PID: 22 Comm: init Not tainted 6.1.176 #1\n"
                   "[    4.510000] Stack:\n"
                   "[    4.510000]  600711e3 600710db 608d4b40 608e24c0\n"
                   "[    4.510000] Call Trace:\n"
                   "[    4.510000]  [<6007224f>] activate_task+0x18/0x23\n"
                   "[    4.510000] Kernel panic - not syncing: a second one\n")
                .reason(),
            "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b");
}

TEST(ConsoleLog, TheReasonIsFoundInALogThatIsPrintedWithItsLevels) {
  EXPECT_EQ(log_of("<6>[    0.050000] VFS: Cannot open root device\n"
                   "<0>[    0.050000] Kernel panic - not syncing: VFS: Unable to mount root fs\n"
                   "<4>[    0.050000]  [<6002c0ae>] new_thread_handler+0x7f/0xb0\n")
                .reason(),
            "Kernel panic - not syncing: VFS: Unable to mount root fs");
}

TEST(ConsoleLog, TheReasonSkipsTraceAndRegisters) {
  EXPECT_EQ(log_of("BUG: something is wrong\n"
                   "RIP: 0033:0x0\nRSP: 00000000971cbd98  EFLAGS: 00010206\n"
                   "RBP: 00000000971cbdc0 R08: 00000000970d38a8\n"
                   "R10: fefefefefefefeff R11: ffffffffffffff94\n\n"
                   " [<600650d4>] worker_thread+0x2c9/0x399\n")
                .reason(),
            "BUG: something is wrong");
}

TEST(ConsoleLog, TheReasonIsPrintableAndShort) {
  std::string reason = log_of("evil \x1b[2J\x07 text\r\n" + std::string(5, '\n')).reason();
  EXPECT_EQ(reason, "evil  [2J  text");
  EXPECT_EQ(log_of(std::string(5000, 'x')).reason().size(), 300u);
}

TEST(ConsoleLog, NothingPrintedIsNoReason) { EXPECT_EQ(ConsoleLog().reason(), ""); }

}  // namespace
}  // namespace hyper2kvm::appliance
