#include "runner/cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/contract/version.h"
#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::cli {
namespace {

using Command = CommandLine::Command;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string refusal(std::vector<std::string> arguments) {
  try {
    parse_command_line(std::move(arguments));
  } catch (const os::Error& error) {
    EXPECT_EQ(error.kind(), os::ErrorKind::kUsage);
    EXPECT_EQ(error.exit_status(), 2);
    EXPECT_THAT(error.sentence(), Not(HasSubstr("\n")));
    return error.sentence();
  }
  return "(accepted)";
}

TEST(CommandLine, ConvertTakesInputsInOrder) {
  CommandLine line = parse_command_line({"convert", "b.vmdk", "a.vmdk"});
  EXPECT_EQ(line.command, Command::kConvert);
  EXPECT_THAT(line.convert.inputs, ElementsAre("b.vmdk", "a.vmdk"));
}

TEST(CommandLine, EveryOptionOfConvertIsRead) {
  ConvertArguments read = parse_command_line({"convert",
                                              "a.ova",
                                              "-o",
                                              "out",
                                              "-O",
                                              "raw",
                                              "--compress",
                                              "--compression",
                                              "zstd",
                                              "--output-device",
                                              "disk-0=/dev/vdb",
                                              "--output-file",
                                              "disk-1=/srv/b.raw",
                                              "--compress-level",
                                              "7",
                                              "--name",
                                              "web",
                                              "--dry-run",
                                              "--no-fix",
                                              "--validate-boot",
                                              "--boot-timeout",
                                              "90",
                                              "--attest",
                                              "--rate-limit",
                                              "4M",
                                              "--no-check-grains",
                                              "--report",
                                              "r.json",
                                              "--register",
                                              "--libvirt-uri",
                                              "qemu:///session",
                                              "--network",
                                              "lab",
                                              "--pool",
                                              "p",
                                              "--autostart",
                                              "--start",
                                              "--overwrite",
                                              "--termination-message",
                                              "t",
                                              "--log-format=json",
                                              "--root",
                                              "vg/root",
                                              "--key",
                                              "u:file:k",
                                              "--key",
                                              "all:file:l",
                                              "--key-file",
                                              "m",
                                              "--key-directory",
                                              "/usr",
                                              "--temp-dir",
                                              "tmp",
                                              "-vv",
                                              "--no-progress"})
                              .convert;
  EXPECT_THAT(read.inputs, ElementsAre("a.ova"));
  EXPECT_EQ(read.output_directory, "out");
  EXPECT_EQ(read.output_format, contract::OutputFormat::kRaw);
  EXPECT_TRUE(read.compress);
  EXPECT_EQ(read.compress_level, 7);
  EXPECT_EQ(read.compression, contract::Compression::kZstd);
  EXPECT_EQ(read.output_devices, std::vector<std::string>{"disk-0=/dev/vdb"});
  EXPECT_EQ(read.output_files, std::vector<std::string>{"disk-1=/srv/b.raw"});
  EXPECT_EQ(read.name, "web");
  EXPECT_TRUE(read.dry_run && read.no_fix && read.no_check_grains && read.registers);
  EXPECT_TRUE(read.validate_boot && read.attest);
  EXPECT_EQ(read.boot_timeout, 90u);
  EXPECT_EQ(read.rate_limit, "4M");
  EXPECT_EQ(read.report, "r.json");
  EXPECT_EQ(read.libvirt_uri, "qemu:///session");
  EXPECT_EQ(read.network, "lab");
  EXPECT_EQ(read.pool, "p");
  EXPECT_TRUE(read.autostart && read.start && read.overwrite);
  EXPECT_EQ(read.termination_message, "t");
  EXPECT_EQ(read.log_format, LogFormat::kJson);
  EXPECT_EQ(read.guest.root, "vg/root");
  EXPECT_THAT(read.guest.keys, ElementsAre("u:file:k", "all:file:l"));
  EXPECT_THAT(read.guest.key_files, ElementsAre("m"));
  EXPECT_EQ(read.guest.key_directory, "/usr");
  EXPECT_EQ(read.guest.temporary_directory, "tmp");
  EXPECT_EQ(read.guest.verbose, 2);
  EXPECT_TRUE(read.guest.no_progress);
  EXPECT_EQ(parse_command_line({"convert", "a", "--bridge", "br0"}).convert.bridge, "br0");
  EXPECT_TRUE(parse_command_line({"convert", "a", "--no-report"}).convert.no_report);
  EXPECT_TRUE(parse_command_line({"convert", "a", "-q"}).convert.guest.quiet);
}

TEST(CommandLine, OptionsMayStandBeforeTheInputs) {
  CommandLine line = parse_command_line({"convert", "--key-file", "k", "-o", "out", "a.vmdk", "b.vmdk"});
  EXPECT_THAT(line.convert.inputs, ElementsAre("a.vmdk", "b.vmdk"));
  EXPECT_THAT(line.convert.guest.key_files, ElementsAre("k"));
}

TEST(CommandLine, TheDirectFormIsConvert) {
  for (std::vector<std::string> arguments : {std::vector<std::string>{"m.json", "-v", "--dry-run"},
                                             {"-v", "m.json", "--dry-run"},
                                             {"--dry-run", "-v", "m.json"}}) {
    CommandLine line = parse_command_line(arguments);
    EXPECT_EQ(line.command, Command::kConvert);
    EXPECT_THAT(line.convert.inputs, ElementsAre("m.json"));
    EXPECT_EQ(line.convert.guest.verbose, 1);
    EXPECT_TRUE(line.convert.dry_run);
  }
}

TEST(CommandLine, AWordThatIsNoFileIsATypingError) {
  EXPECT_THAT(refusal({"conver", "a.ova"}), HasSubstr("conver: is neither a subcommand nor a file"));
  os::TemporaryDirectory directory("cli-test");
  os::write_text_atomically(directory.path() / "manifest", "x");
  EXPECT_EQ(parse_command_line({(directory.path() / "manifest").string()}).command, Command::kConvert);
}

TEST(CommandLine, InspectIsRead) {
  CommandLine line = parse_command_line({"inspect", "--json", "a.ova", "--root", "disk0p2", "-v"});
  EXPECT_EQ(line.command, Command::kInspect);
  EXPECT_THAT(line.inspect.inputs, ElementsAre("a.ova"));
  EXPECT_TRUE(line.inspect.json);
  EXPECT_EQ(line.inspect.guest.root, "disk0p2");
  EXPECT_EQ(line.inspect.guest.verbose, 1);
}

TEST(CommandLine, HelpAndVersionAreText) {
  CommandLine version = parse_command_line({"--version"});
  EXPECT_EQ(version.command, Command::kSay);
  EXPECT_EQ(version.text, "hyper2kvm " + std::string(contract::hyper2kvm_version()) + "\n");
  for (std::vector<std::string> arguments :
       {std::vector<std::string>{"--help"}, {"-h"}, {"convert", "--help"}, {"inspect", "-h"}}) {
    CommandLine help = parse_command_line(arguments);
    EXPECT_EQ(help.command, Command::kSay);
    EXPECT_THAT(help.text, HasSubstr("Examples:"));
    EXPECT_THAT(help.text, HasSubstr("  hyper2kvm "));
  }
  EXPECT_THAT(parse_command_line({"convert", "--help"}).text, HasSubstr("--output-format"));
}

TEST(CommandLine, MistakesAreOneSentenceThatNamesThem) {
  EXPECT_THAT(refusal({"convert", "--no-such-option", "x"}), HasSubstr("--no-such-option"));
  EXPECT_THAT(refusal({"convert", "--no-such-option", "x"}), HasSubstr("`hyper2kvm convert --help`"));
  EXPECT_THAT(refusal({"convert"}), HasSubstr("INPUT"));
  EXPECT_THAT(refusal({}), HasSubstr("subcommand"));
  EXPECT_THAT(refusal({"convert", "a", "-O", "vmdk"}), HasSubstr("vmdk"));
  EXPECT_THAT(refusal({"convert", "a", "--compress-level", "10"}), HasSubstr("10"));
  EXPECT_THAT(refusal({"convert", "a", "--compress-level", "high"}), HasSubstr("high"));
  EXPECT_THAT(refusal({"convert", "a", "--log-format", "xml"}), HasSubstr("xml"));
  EXPECT_THAT(refusal({"convert", "a", "--network", "n", "--bridge", "b"}),
              HasSubstr("--network: is given together with --bridge"));
  EXPECT_THAT(refusal({"convert", "a", "-q", "-v"}), HasSubstr("--quiet: is given together with --verbose"));
  EXPECT_THAT(refusal({"convert", "a", "--rate-limit", "fast"}),
              HasSubstr("--rate-limit: \"fast\" is no size"));
  EXPECT_THAT(refusal({"convert", "a", "--key", "u:key:s"}), HasSubstr("--key: "));
  EXPECT_THAT(refusal({"convert", "a", "--report", "r", "--no-report"}), HasSubstr("report"));
  EXPECT_THAT(refusal({"convert", "a", "-o"}), HasSubstr("--output"));
}

}  // namespace
}  // namespace hyper2kvm::cli
