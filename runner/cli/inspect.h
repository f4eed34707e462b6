// `hyper2kvm inspect INPUT...`: what is in it, and what a repair would change.
#pragma once

#include <filesystem>
#include <vector>

#include "runner/cli/guest_options.h"
#include "runner/os/stop.h"

namespace hyper2kvm::cli {

struct InspectArguments {
  std::vector<std::filesystem::path> inputs;
  bool json = false;
  GuestOptions guest;
};

void describe_inspect(CLI::App& app, InspectArguments& arguments);
// Returns the exit status; throws os::Error.
int run_inspect(const InspectArguments& arguments, const os::StopToken& stop);

}  // namespace hyper2kvm::cli
