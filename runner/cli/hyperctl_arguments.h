// hyperctl's command line: words and options, in the manner of the tools that it works beside: `-op status`,
// `--op status` and `-op=status` are one.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace hyper2kvm::cli {

struct HyperctlArguments {
  std::vector<std::string> words;              // daemon, jobs list, jobs show ID, list...
  std::map<std::string, std::string> options;  // without dashes; a flag's value is empty
  bool has(const std::string& name) const { return options.contains(name); }
  std::string option(const std::string& name, const std::string& otherwise = "") const;
};

// Throws os::Error (kUsage) for an option that is unknown or lacks its value.
HyperctlArguments parse_hyperctl_arguments(const std::vector<std::string>& arguments);

// The text of --help.
extern const char* const kHyperctlHelp;

}  // namespace hyper2kvm::cli
