// The console itself, on machines that need no operating system: a boot sector of forty bytes greets on the
// serial port and then echoes what is typed.
#include "tests/integration/console.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "runner/os/error.h"

namespace hyper2kvm::integration {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::ThrowsMessage;

void make_echo_disk(const std::filesystem::path& path) {
  constexpr unsigned char kProgram[] = {
      0x31, 0xc0, 0x8e, 0xd8, 0xbe, 0x22, 0x7c, 0xfc,  // ds = 0, si = the greeting
      0xac, 0x84, 0xc0, 0x74, 0x06,                    // next: its next byte; at 0 go on to echo
      0xba, 0xf8, 0x03, 0xee, 0xeb, 0xf5,              // to the serial port
      0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xfb,  // echo: wait until the port has a byte
      0xba, 0xf8, 0x03, 0xec, 0xee, 0xeb, 0xf1,        // and send it back
  };
  constexpr std::string_view kGreeting = "hello from sector 0\r\n";
  std::array<std::byte, 1 << 20> disk{};
  auto bytes = std::as_bytes(std::span(kProgram));
  std::copy(bytes.begin(), bytes.end(), disk.begin());
  auto greeting = std::as_bytes(std::span(kGreeting));
  std::copy(greeting.begin(), greeting.end(), disk.begin() + sizeof kProgram);
  disk[510] = std::byte{0x55};
  disk[511] = std::byte{0xaa};
  os::File::open(path, os::File::Mode::kCreate).write_at(0, disk);
}

class ConsoleTest : public testing::TestWithParam<DiskBus> {
 protected:
  void SetUp() override { make_echo_disk(disk_); }
  Console start(DiskBus bus) {
    return Console::start({.disks = {{disk_, "raw"}}, .bus = bus, .memory_mebibytes = 128});
  }
  os::TemporaryDirectory directory_{"console-test"};
  std::filesystem::path disk_ = directory_.path() / "a,disk.raw";
};

TEST_P(ConsoleTest, BootsFromTheBusThatWasAskedFor) {
  Console console = start(GetParam());
  EXPECT_EQ(console.wait_for({"never written", "hello from sector 0\n"}, 60s), 1u);
}
INSTANTIATE_TEST_SUITE_P(Bus, ConsoleTest,
                         testing::Values(DiskBus::kVirtioBlk, DiskBus::kVirtioScsi, DiskBus::kPvscsi),
                         [](const auto& bus) {
                           return bus.param == DiskBus::kVirtioBlk    ? "VirtioBlk"
                                  : bus.param == DiskBus::kVirtioScsi ? "VirtioScsi"
                                                                      : "Pvscsi";
                         });

TEST_F(ConsoleTest, SendsWhatIsTypedAndReadsOnlyWhatIsNew) {
  Console console = start(DiskBus::kVirtioBlk);
  console.wait_for({"hello"}, 60s);
  console.type("ping one, ping two.");
  EXPECT_EQ(console.wait_for({"hello", "two.", "ping one"}, 60s), 2u);
  EXPECT_EQ(console.wait_for({"ping one", "ping two."}, 60s), 1u);
  EXPECT_THAT(console.transcript(), HasSubstr("hello from sector 0\nping one, ping two."));
}

TEST_F(ConsoleTest, GivesUpAtTheDeadlineAndShowsWhatWasSaid) {
  Console console = start(DiskBus::kVirtioBlk);
  console.wait_for({"hello"}, 60s);
  EXPECT_THAT([&] { console.wait_for({"login: "}, 1s); },
              ThrowsMessage<os::Error>(testing::AllOf(HasSubstr("\"login: \" did not come within 1 s"),
                                                      HasSubstr("hello from sector 0"))));
}

TEST_F(ConsoleTest, TellsWhyAMachineDidNotStart) {
  Console console = Console::start({.disks = {{directory_.path() / "missing.raw", "raw"}}});
  EXPECT_THAT([&] { console.wait_for({"login: "}, 60s); },
              ThrowsMessage<os::Error>(
                  testing::AllOf(HasSubstr("the machine is off"), HasSubstr("No such file or directory"))));
}

TEST(PlainText, LeavesOutWhatMovesTheCursorEvenWhereItComesInPieces) {
  std::string unfinished;
  EXPECT_EQ(plain_text("\033[0;1;32mok\033[0m\r\n\033]8;;file://x\alink\033", unfinished), "ok\nlink");
  EXPECT_EQ(plain_text("[2", unfinished), "");
  EXPECT_EQ(plain_text("J# \033(B", unfinished), "# B");
  EXPECT_EQ(unfinished, "");
}

}  // namespace
}  // namespace hyper2kvm::integration
