#include <fmt/format.h>

#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>

#include "runner/cli/hyperctl_commands.h"
#include "runner/cli/hyperctl_instances.h"
#include "runner/cli/hyperctl_text.h"
#include "runner/daemon/control_client.h"
#include "runner/daemon/service_units.h"
#include "runner/os/error.h"

namespace hyper2kvm::cli {
namespace {

using nlohmann::json;
using os::Error;
using os::ErrorKind;

// One entry of "instances": the keys that other tools read, and what only the daemon knows.
json describe(const HyperctlArguments& arguments, const std::string& instance) {
  json entry = {{"name", instance.empty() ? "default" : instance},
                {"service", daemon::service_name(instance)},
                {"active", false},
                {"status", "unknown"},
                {"main_pid", 0},
                {"uptime", ""}};
  std::string trouble;
  try {
    daemon::ServiceUnit unit = daemon::service_unit(instance);
    entry["active"] = unit.active();
    entry["status"] = unit.load_state == "not-found" ? std::string("not installed")
                                                     : unit.active_state + " (" + unit.sub_state + ")";
    entry["main_pid"] = unit.main_pid;
    entry["memory_bytes"] = unit.memory_bytes;
    if (unit.active_since > 0) {
      entry["uptime_seconds"] = std::time(nullptr) - unit.active_since;
      entry["uptime"] = age(std::time(nullptr) - unit.active_since);
    }
  } catch (const Error& error) {
    entry["trouble"] = error.sentence();
  }
  daemon::Settings settings = settings_of(arguments, instance);
  entry["watch_dir"] = settings.watch_dir.string();
  entry["output_dir"] = settings.output_dir.string();
  try {
    json answer = daemon::ask_daemon(socket_of(arguments, instance), {{"command", "status"}});
    for (const char* key : {"watch_dir", "output_dir", "queued", "running", "done", "failed", "cancelled",
                            "refused", "jobs", "paused", "draining", "version", "settings"})
      entry[key] = answer.at(key);
    entry["detail"] = answer.at("status");
    if (entry["status"] == "unknown") {
      // Started by hand, without systemd.
      entry["active"] = true;
      entry["status"] = "running";
      entry["main_pid"] = answer.at("pid");
      entry["uptime"] = age(std::time(nullptr) - answer.at("started").get<std::int64_t>());
    }
    entry.erase("trouble");
  } catch (const Error& error) {
    if (entry["active"].get<bool>()) entry["trouble"] = error.sentence();
  }
  return entry;
}

std::string number(const json& entry, const char* key) {
  return entry.contains(key) ? entry.at(key).dump() : "-";
}

std::string status_text(const json& entry) {
  std::vector<std::vector<std::string>> rows{
      {"Instance:", entry.at("name")},
      {"Service:", entry.at("service")},
      {"Status:", entry.at("status")},
      {"Main PID:", entry.at("main_pid").dump()},
      {"Uptime:", entry.at("uptime")},
      {"Watch directory:", entry.at("watch_dir")},
      {"Output directory:", entry.at("output_dir")},
  };
  if (entry.contains("queued")) {
    rows.push_back(
        {"Jobs:", fmt::format("{} queued, {} running, {} done, {} failed, {} cancelled",
                              number(entry, "queued"), number(entry, "running"), number(entry, "done"),
                              number(entry, "failed"), number(entry, "cancelled"))});
    rows.push_back({"Refused files:", number(entry, "refused")});
    if (entry.at("paused").get<bool>()) rows.push_back({"Queue:", "paused"});
    if (entry.at("draining").get<bool>()) rows.push_back({"Queue:", "draining"});
  }
  if (entry.contains("trouble")) rows.push_back({"Trouble:", entry.at("trouble")});
  std::string text = table(rows);
  if (entry.contains("jobs") && !entry.at("jobs").empty())
    text += "\n" + jobs_table(entry.at("jobs"), std::time(nullptr), false);
  return text;
}

std::string list_text(const json& instances) {
  std::vector<std::vector<std::string>> rows{
      {"INSTANCE", "SERVICE", "STATUS", "PID", "UPTIME", "QUEUED", "RUNNING", "DONE", "FAILED"}};
  for (const json& entry : instances)
    rows.push_back({entry.at("name"), entry.at("service"), entry.at("status"), entry.at("main_pid").dump(),
                    entry.at("uptime").get<std::string>().empty() ? "-" : entry.at("uptime"),
                    number(entry, "queued"), number(entry, "running"), number(entry, "done"),
                    number(entry, "failed")});
  return table(rows);
}

std::string stats_text(const json& stats) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& [key, value] : stats.items()) {
    bool bytes = key.ends_with("_bytes");
    rows.push_back({key + ":", key == "since" ? age(std::time(nullptr) - value.get<std::int64_t>()) + " ago"
                               : bytes        ? size_text(value.get<std::uint64_t>())
                                              : value.dump()});
  }
  return table(rows);
}

void print(const std::string& text) { std::fputs(text.c_str(), stdout); }

void print_json(const json& document) {
  print(document.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

}  // namespace

int run_hyperctl_daemon(const HyperctlArguments& arguments) {
  std::string operation = arguments.option("op", "status");
  std::string instance = instance_of(arguments);
  bool as_json = arguments.has("json");
  if (operation == "status" || operation == "list") {
    json instances = json::array();
    if (operation == "status" || arguments.has("instance"))
      instances.push_back(describe(arguments, instance));
    else
      for (const std::string& name : all_instances(arguments)) instances.push_back(describe(arguments, name));
    if (as_json)
      print_json({{"instances", instances}, {"total", instances.size()}});
    else
      print(operation == "status" ? status_text(instances[0]) : list_text(instances));
    return 0;
  }
  if (operation == "stats") {
    json answer = daemon::ask_daemon(socket_of(arguments, instance), {{"command", "stats"}});
    as_json ? print_json(answer.at("stats")) : print(stats_text(answer.at("stats")));
    return 0;
  }
  static const std::map<std::string, std::string> kSaid{
      {"pause", "paused: nothing new is started"},
      {"resume", "goes on"},
      {"drain", "drains: it ends when what runs has finished"},
      {"stop", "stops: running jobs go back to the queue"}};
  auto said = kSaid.find(operation);
  if (said == kSaid.end())
    throw Error(ErrorKind::kUsage, "-op " + operation, "is not known",
                "Use status, list, stats, pause, resume, drain or stop.");
  json answer = daemon::ask_daemon(socket_of(arguments, instance), {{"command", operation}});
  as_json ? print_json(answer) : print(daemon::service_name(instance) + " " + said->second + ".\n");
  return 0;
}

}  // namespace hyper2kvm::cli
