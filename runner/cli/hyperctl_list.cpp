#include <fmt/format.h>

#include <cstdio>
#include <ctime>
#include <map>
#include <nlohmann/json.hpp>

#include "runner/cli/hyperctl_commands.h"
#include "runner/cli/hyperctl_instances.h"
#include "runner/cli/hyperctl_text.h"
#include "runner/daemon/control_client.h"
#include "runner/os/error.h"
#include "runner/os/process.h"

namespace hyper2kvm::cli {
namespace {

using nlohmann::json;

struct Machine {
  std::string state;     // of its newest job; "converted" where only the result is known
  std::string instance;  // "-" where it is none's
  std::string image;
  bool in_libvirt = false;
};

void say(const std::string& sentence) { std::fputs(("hyperctl: " + sentence + "\n").c_str(), stderr); }

void add_jobs(const HyperctlArguments& arguments, const std::string& instance,
              std::map<std::string, Machine>& machines) {
  try {
    json answer = daemon::ask_daemon(socket_of(arguments, instance), {{"command", "list"}});
    for (const json& job : answer.at("jobs")) {
      std::string name = job.at("vm_name");
      Machine& machine = machines[name.empty() ? job.at("result_name").get<std::string>() : name];
      machine.state = job.at("phase");
      machine.instance = instance.empty() ? "default" : instance;
      if (!job.at("output_path").get<std::string>().empty()) machine.image = job.at("output_path");
    }
  } catch (const os::Error& error) {
    // A daemon that does not run has no jobs to tell of; one that may not be asked is another matter.
    if (error.errno_value() != ENOENT && error.errno_value() != ECONNREFUSED) say(error.sentence());
  }
}

void add_results(const daemon::Settings& settings, std::map<std::string, Machine>& machines) {
  std::error_code code;
  for (const auto& entry : std::filesystem::directory_iterator(settings.output_dir, code)) {
    if (entry.path().extension() != ".qcow2" || entry.path().filename().string().starts_with(".")) continue;
    Machine& machine = machines[entry.path().stem().string()];
    if (machine.state.empty()) machine.state = "converted";
    if (machine.instance.empty())
      machine.instance = settings.instance.empty() ? "default" : settings.instance;
    if (machine.image.empty()) machine.image = entry.path().string();
  }
}

void add_libvirt(const std::string& uri, bool asked_for, std::map<std::string, Machine>& machines) {
  if (os::find_program("virsh").empty()) return;
  try {
    std::string names =
        os::run_program({.arguments = {"virsh", "-q", "-r", "-c", uri, "list", "--all", "--name"}}, {},
                        std::chrono::seconds(15));
    std::size_t begin = 0;
    while (begin < names.size()) {
      std::size_t end = std::min(names.find('\n', begin), names.size());
      std::string name = names.substr(begin, end - begin);
      begin = end + 1;
      if (name.empty()) continue;
      Machine& machine = machines[name];
      machine.in_libvirt = true;
      if (machine.state.empty()) machine.state = "registered";
    }
  } catch (const os::Error& error) {
    if (asked_for) say(error.sentence());
  }
}

}  // namespace

int run_hyperctl_list(const HyperctlArguments& arguments) {
  std::map<std::string, Machine> machines;
  std::vector<std::string> instances =
      arguments.has("instance") ? std::vector<std::string>{instance_of(arguments)} : all_instances(arguments);
  for (const std::string& instance : instances) {
    add_jobs(arguments, instance, machines);
    add_results(settings_of(arguments, instance), machines);
  }
  add_libvirt(arguments.option("uri", "qemu:///system"), arguments.has("uri"), machines);

  std::string filter = arguments.option("filter");
  std::vector<std::vector<std::string>> rows{{"# STATE", "NAME", "INSTANCE", "LIBVIRT", "IMAGE"}};
  json document = json::array();
  for (const auto& [name, machine] : machines) {
    if (!matches(name, filter)) continue;
    rows.push_back({machine.state, one_word(name), machine.instance.empty() ? "-" : machine.instance,
                    machine.in_libvirt ? "yes" : "no", one_word(machine.image)});
    document.push_back({{"name", name},
                        {"state", machine.state},
                        {"instance", machine.instance},
                        {"libvirt", machine.in_libvirt},
                        {"image", machine.image}});
  }
  std::string text = arguments.has("json") ? json{{"machines", document}, {"total", document.size()}}.dump(
                                                 2, ' ', false, json::error_handler_t::replace) +
                                                 "\n"
                                           : table(rows);
  std::fputs(text.c_str(), stdout);
  return 0;
}

}  // namespace hyper2kvm::cli
