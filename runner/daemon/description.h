// What is told of jobs to those who ask: the control socket's JSON, and the line of systemctl status. Pure
// functions of their arguments.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "runner/daemon/conversion.h"
#include "runner/daemon/job.h"
#include "runner/daemon/schedule.h"

namespace hyper2kvm::daemon {

// progress: of one that runs; waiting: what one that is queued waits for. nullptr where there is none.
nlohmann::json describe(const Job& job, const Progress* progress, const Waiting* waiting);

struct RunningJob {
  std::string result_name;
  Progress progress;
};
// state: "stopping", "draining", "paused"; empty where jobs are taken and started. The first four that run
// are named.
std::string status_line(const std::filesystem::path& watch_dir, const std::vector<RunningJob>& running,
                        std::size_t queued, std::string_view state);

}  // namespace hyper2kvm::daemon
