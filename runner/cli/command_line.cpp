#include "runner/cli/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <sstream>

#include "runner/contract/version.h"
#include "runner/os/error.h"

namespace hyper2kvm::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  hyper2kvm convert web01.ova -o /var/lib/libvirt/images
  hyper2kvm convert web01.ova -o /srv/images --register
  hyper2kvm inspect web01.ova
  hyper2kvm artifact-manifest.json -v

`hyper2kvm FILE` is `hyper2kvm convert FILE`. `hyper2kvm SUBCOMMAND --help` shows the options of each.
Exit status: 0 success, 1 failure, 2 a wrong command line or a manifest that cannot be read.)";

std::unique_ptr<CLI::App> make_app(CommandLine& line) {
  auto app =
      std::make_unique<CLI::App>("Converts virtual machines from other hypervisors to KVM.", "hyper2kvm");
  app->footer(kExamples);
  app->set_help_flag("-h,--help", "Show this help");
  app->set_version_flag("-V,--version", "hyper2kvm " + std::string(contract::hyper2kvm_version()),
                        "Show the version");
  app->require_subcommand(1);
  // Subcommands inherit what is set here.
  app->get_formatter()->column_width(34);
  CLI::App* convert = app->add_subcommand("convert");
  describe_convert(*convert, line.convert);
  CLI::App* inspect = app->add_subcommand("inspect");
  describe_inspect(*inspect, line.inspect);
  CLI::App* daemon = app->add_subcommand("daemon");
  describe_daemon(*daemon, line.daemon);
  return app;
}

bool is_subcommand(const CLI::App& app, const std::string& word) {
  auto all = app.get_subcommands([](const CLI::App*) { return true; });
  return std::any_of(all.begin(), all.end(), [&](const CLI::App* one) { return one->get_name() == word; });
}

// The direct form: what is neither a subcommand nor an option of the program itself is given to convert.
void complete_direct_form(const CLI::App& app, std::vector<std::string>& arguments) {
  if (arguments.empty() || is_subcommand(app, arguments[0])) return;
  if (app.get_option_no_throw(arguments[0]) != nullptr) return;
  const std::string& first = arguments[0];
  std::error_code ignored;
  bool looks_like_a_word = first.find_first_of("./-") == std::string::npos;
  if (looks_like_a_word && !std::filesystem::exists(first, ignored))
    throw os::Error(os::ErrorKind::kUsage, first, "is neither a subcommand nor a file",
                    "`hyper2kvm --help` shows the subcommands.");
  arguments.insert(arguments.begin(), "convert");
}

os::Error usage_error(const CLI::ParseError& error, const std::vector<std::string>& arguments) {
  std::string problem = error.what();
  std::replace(problem.begin(), problem.end(), '\n', ' ');
  while (!problem.empty() && (problem.back() == ' ' || problem.back() == '.')) problem.pop_back();
  bool known = !arguments.empty() && arguments[0][0] != '-';
  return os::Error(
      os::ErrorKind::kUsage, "", problem,
      "`hyper2kvm " + (known ? arguments[0] + " " : std::string()) + "--help` shows what is allowed.");
}

}  // namespace

CommandLine parse_command_line(std::vector<std::string> arguments) {
  CommandLine line;
  auto app = make_app(line);
  complete_direct_form(*app, arguments);
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app->parse(reversed);
  } catch (const CLI::Success& asked) {  // help or version
    std::ostringstream text;
    app->exit(asked, text, text);
    line.command = CommandLine::Command::kSay;
    line.text = text.str();
    return line;
  } catch (const CLI::ParseError& error) {
    throw usage_error(error, arguments);
  }
  line.command = app->got_subcommand("inspect")  ? CommandLine::Command::kInspect
                 : app->got_subcommand("daemon") ? CommandLine::Command::kDaemon
                                                 : CommandLine::Command::kConvert;
  if (line.command == CommandLine::Command::kConvert) check(line.convert);
  return line;
}

std::vector<std::string> all_options() {
  CommandLine line;
  auto app = make_app(line);
  std::vector<std::string> result;
  auto collect = [&](const CLI::App& one, const std::string& prefix) {
    for (const CLI::Option* option : one.get_options()) {
      for (const std::string& name : option->get_lnames()) result.push_back(prefix + "--" + name);
      for (const std::string& name : option->get_snames()) result.push_back(prefix + "-" + name);
    }
  };
  collect(*app, "");
  for (const CLI::App* one : app->get_subcommands([](const CLI::App*) { return true; })) {
    result.push_back(one->get_name());
    collect(*one, one->get_name() + " ");
  }
  return result;
}

}  // namespace hyper2kvm::cli
