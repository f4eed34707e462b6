// hyperctl's commands. Each prints its result on stdout and returns the exit status; throws os::Error.
#pragma once

#include "runner/cli/hyperctl_arguments.h"

namespace hyper2kvm::cli {

// `hyperctl daemon -op ...`: the unit from systemd, the queue from the daemon itself.
int run_hyperctl_daemon(const HyperctlArguments& arguments);
// `hyperctl jobs ...`
int run_hyperctl_jobs(const HyperctlArguments& arguments);
// `hyperctl list`: a line a machine, its name in the second column, `#` before the header.
int run_hyperctl_list(const HyperctlArguments& arguments);

}  // namespace hyper2kvm::cli
