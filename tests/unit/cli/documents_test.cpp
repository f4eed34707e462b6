// The man page and the completion know every option that --help knows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>
#include <set>

#include "runner/cli/command_line.h"
#include "runner/os/file.h"
#include "runner/os/process.h"

namespace hyper2kvm::cli {
namespace {

const std::filesystem::path kFolder = CLI_FOLDER;

std::string file(const std::filesystem::path& path) { return os::read_text(kFolder / path, 1 << 20); }

// "convert --output" without the subcommand.
std::string option_in(const std::string& entry) { return entry.substr(entry.rfind(' ') + 1); }

std::string complete(const std::string& words, const std::string& current) {
  std::string script =
      ". " + (kFolder / "completion/hyper2kvm.bash").string() + "; COMP_WORDS=(" + words + " '" + current +
      "'); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _hyper2kvm; printf '%s\\n' \"${COMPREPLY[@]}\"";
  return "\n" + os::run_program({.arguments = {"bash", "--norc", "-c", script}});
}

TEST(ManPage, HasEveryOption) {
  // In the source a hyphen is written \- so that it can be searched for and copied.
  std::string page = std::regex_replace(file("hyper2kvm.1"), std::regex("\\\\-"), "-");
  for (const std::string& entry : all_options())
    EXPECT_THAT(page, testing::ContainsRegex("(^|[ \n,(\"])" + option_in(entry) + "([ \n,.=\"]|$)")) << entry;
}

TEST(ManPage, HasNoOptionThatTheProgramLacks) {
  std::string page = std::regex_replace(file("hyper2kvm.1"), std::regex("\\\\-"), "-");
  std::set<std::string> known;
  for (const std::string& entry : all_options()) known.insert(option_in(entry));
  std::regex option("(^|[\\s,\"])(--[a-z][a-z-]*)");
  std::size_t count = 0;
  for (std::sregex_iterator found(page.begin(), page.end(), option), end; found != end; ++found, ++count)
    EXPECT_TRUE(known.count((*found)[2])) << (*found)[2];
  EXPECT_GT(count, 20u);
}

TEST(Completion, OffersEverySubcommandAndOption) {
  std::string top = complete("hyper2kvm", "") + complete("hyper2kvm", "-");
  for (const std::string& entry : all_options()) {
    std::size_t space = entry.find(' ');
    std::string offered =
        space == std::string::npos ? top : complete("hyper2kvm " + entry.substr(0, space), "-");
    EXPECT_THAT(offered, testing::HasSubstr("\n" + option_in(entry) + "\n")) << entry;
  }
}

TEST(Completion, OffersNoOptionThatTheProgramLacks) {
  for (const char* subcommand : {"convert", "inspect", "daemon"}) {
    std::set<std::string> known;
    for (const std::string& entry : all_options())
      if (entry.rfind(std::string(subcommand) + " ", 0) == 0) known.insert(option_in(entry));
    std::istringstream lines(complete(std::string("hyper2kvm ") + subcommand, "-"));
    for (std::string line; std::getline(lines, line);) {
      bool is_known = line.empty() || known.count(line) != 0;
      EXPECT_TRUE(is_known) << subcommand << " " << line;
    }
  }
}

TEST(Completion, OffersTheValuesOfAnOption) {
  EXPECT_EQ(complete("hyper2kvm convert -O", ""), "\nqcow2\nraw\nvdi\n");
  EXPECT_EQ(complete("hyper2kvm convert --log-format", "j"), "\njson\n");
}

}  // namespace
}  // namespace hyper2kvm::cli
