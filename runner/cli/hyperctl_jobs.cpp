#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <thread>

#include "runner/cli/hyperctl_commands.h"
#include "runner/cli/hyperctl_instances.h"
#include "runner/cli/hyperctl_text.h"
#include "runner/daemon/control_client.h"
#include "runner/os/error.h"
#include "runner/os/stop.h"

namespace hyper2kvm::cli {
namespace {

using nlohmann::json;
using os::Error;
using os::ErrorKind;

void print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

std::string dump(const json& document) {
  return document.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string time_text(std::int64_t seconds) {
  if (seconds == 0) return "-";
  std::time_t time = seconds;
  std::tm parts{};
  ::localtime_r(&time, &parts);
  char buffer[64];
  return std::string(buffer, std::strftime(buffer, sizeof buffer, "%F %T %z", &parts));
}

std::string show_text(const json& answer) {
  const json& job = answer.at("job");
  std::vector<std::vector<std::string>> rows{
      {"Job:", job.at("id")},
      {"Machine:", job.at("vm_name")},
      {"State:", job.at("phase")},
      {"Submitted:", time_text(job.at("submitted"))},
      {"Started:", time_text(job.at("started"))},
      {"Finished:", time_text(job.at("finished"))},
      {"Attempts:", fmt::format("{} ({} failed, {} interrupted)", job.at("attempts").dump(),
                                job.at("failures").dump(), job.at("interruptions").dump())},
  };
  for (const auto& disk : job.at("disks")) rows.push_back({"Disk:", disk});
  for (const char* key : {"output_path", "report_path", "error"})
    if (!job.at(key).get<std::string>().empty())
      rows.push_back({key == std::string("error")         ? "Error:"
                      : key == std::string("output_path") ? "Image:"
                                                          : "Report:",
                      job.at(key)});
  for (const auto& warning : job.at("warnings")) rows.push_back({"Warning:", warning});
  if (answer.contains("report"))
    for (const auto& [name, stage] : answer["report"]["pipeline"]["stages"].items())
      rows.push_back({"Stage:", fmt::format("{} {} in {:.1f} s", name,
                                            stage.value("success", false) ? "succeeded" : "failed",
                                            stage.value("duration", 0.0))});
  return table(rows);
}

// On a terminal the table is drawn in place, once a second; elsewhere a table is printed whenever it changed.
int watch(const std::filesystem::path& socket) {
  os::StopToken stop = os::stop_on_signals();
  bool terminal = ::isatty(STDOUT_FILENO) == 1;
  std::string before;
  while (!stop.stop_requested()) {
    json answer = daemon::ask_daemon(socket, {{"command", "list"}});
    std::string text = jobs_table(answer.at("jobs"), std::time(nullptr), terminal);
    if (terminal)
      print("\x1b[H\x1b[2J" + text);
    else if (text != before)
      print(text + "\n");
    before = text;
    for (int i = 0; i < 20 && !stop.stop_requested(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return 0;
}

}  // namespace

int run_hyperctl_jobs(const HyperctlArguments& arguments) {
  std::filesystem::path socket = socket_of(arguments, instance_of(arguments));
  std::string operation = arguments.words.size() > 1 ? arguments.words[1] : "list";
  bool as_json = arguments.has("json");
  if (operation == "watch") return watch(socket);
  if (operation == "list") {
    json answer = daemon::ask_daemon(socket, {{"command", "list"}});
    print(as_json ? dump({{"jobs", answer.at("jobs")}, {"total", answer.at("jobs").size()}})
                  : jobs_table(answer.at("jobs"), std::time(nullptr), false));
    return 0;
  }
  if (operation != "show" && operation != "retry" && operation != "cancel")
    throw Error(ErrorKind::kUsage, "jobs " + operation, "is not known",
                "Use list, show, retry, cancel or watch.");
  if (arguments.words.size() != 3)
    throw Error(ErrorKind::kUsage, "jobs " + operation, "needs one job", "hyperctl jobs list shows all.");
  json answer = daemon::ask_daemon(socket, {{"command", operation}, {"job", arguments.words[2]}});
  answer.erase("ok");
  print(as_json ? dump(answer) : show_text(answer));
  return 0;
}

}  // namespace hyper2kvm::cli
