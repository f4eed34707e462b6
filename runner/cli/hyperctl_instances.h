// The instances of this host, and the way to each.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runner/cli/hyperctl_arguments.h"
#include "runner/daemon/settings.h"

namespace hyper2kvm::cli {

// The instance that the command line names ("" is the default one). Throws os::Error for a name that is none.
std::string instance_of(const HyperctlArguments& arguments);
std::filesystem::path socket_of(const HyperctlArguments& arguments, const std::string& instance);
// All that systemd knows, that have a configuration file, or whose daemon listens; the default one first.
std::vector<std::string> all_instances(const HyperctlArguments& arguments);
// What the instance's files say; the defaults where they may not be read.
daemon::Settings settings_of(const HyperctlArguments& arguments, const std::string& instance);

}  // namespace hyper2kvm::cli
