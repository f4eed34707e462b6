#include "runner/cli/hyperctl_arguments.h"

#include <set>

#include "runner/os/error.h"

namespace hyper2kvm::cli {

const char* const kHyperctlHelp = R"(hyperctl: looks after the hyper2kvm daemon of this host.

  hyperctl daemon -op status [-instance NAME]    one instance: unit, queue, jobs that run
  hyperctl daemon -op list                       all instances
  hyperctl daemon -op stats                      what the instance has done since its queue was made
  hyperctl daemon -op pause|resume               start no new conversion; go on
  hyperctl daemon -op drain|stop                 end when what runs has finished; end now, jobs stay queued
  hyperctl jobs list                             all jobs of the instance
  hyperctl jobs show JOB                         one job, with its report
  hyperctl jobs retry JOB | cancel JOB           JOB: its id, the end of it, or a machine (its newest)
  hyperctl jobs watch                            a table that follows the jobs; Ctrl-C ends it
  hyperctl list [-filter TEXT]                   machines that this host knows: jobs, results, libvirt

Options:
  -instance NAME   a named instance (hyper2kvm@NAME.service); else the default one
  -json            one JSON document instead of text
  -filter TEXT     only names with this text, or like this pattern (* and ?)
  -uri URI         libvirt to ask for its machines; else qemu:///system
  -socket PATH     the daemon's control socket; else the instance's own
  -config DIR      where the instances' files are; else /etc/hyper2kvm
  -version, -help
)";

std::string HyperctlArguments::option(const std::string& name, const std::string& otherwise) const {
  auto found = options.find(name);
  return found == options.end() ? otherwise : found->second;
}

HyperctlArguments parse_hyperctl_arguments(const std::vector<std::string>& arguments) {
  static const std::set<std::string> kWithValue{"op", "instance", "filter", "uri", "socket", "config"};
  static const std::set<std::string> kFlags{"json", "help", "h", "version"};
  HyperctlArguments result;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (word.size() < 2 || word[0] != '-') {
      result.words.push_back(word);
      continue;
    }
    std::string name =
        word.substr(word.find_first_not_of('-') == std::string::npos ? 1 : word.find_first_not_of('-'));
    auto equals = name.find('=');
    bool has_value = equals != std::string::npos;
    std::string value = has_value ? name.substr(equals + 1) : "";
    if (has_value) name.resize(equals);
    if (kWithValue.contains(name)) {
      if (!has_value) {
        if (i + 1 >= arguments.size())
          throw os::Error(os::ErrorKind::kUsage, word, "needs a value", "hyperctl -help shows all options.");
        value = arguments[++i];
      }
      result.options[name] = value;
    } else if (kFlags.contains(name) && !has_value) {
      result.options[name] = "";
    } else {
      throw os::Error(os::ErrorKind::kUsage, word, "is not an option of hyperctl",
                      "hyperctl -help shows all options.");
    }
  }
  return result;
}

}  // namespace hyper2kvm::cli
