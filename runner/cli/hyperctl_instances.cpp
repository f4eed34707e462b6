#include "runner/cli/hyperctl_instances.h"

#include <set>

#include "runner/daemon/control_client.h"
#include "runner/daemon/service_units.h"
#include "runner/os/error.h"

namespace hyper2kvm::cli {
namespace {

namespace fs = std::filesystem;

void add(std::set<std::string>& instances, const std::string& name) {
  try {
    daemon::check_instance_name(name);
    instances.insert(name);
  } catch (const os::Error&) {
    // A file that only looks like an instance's.
  }
}

}  // namespace

std::string instance_of(const HyperctlArguments& arguments) {
  std::string instance = arguments.option("instance");
  if (instance == "default") instance.clear();
  if (!instance.empty()) daemon::check_instance_name(instance);
  return instance;
}

fs::path socket_of(const HyperctlArguments& arguments, const std::string& instance) {
  std::string given = arguments.option("socket");
  return given.empty() ? daemon::control_socket(instance) : fs::path(given);
}

std::vector<std::string> all_instances(const HyperctlArguments& arguments) {
  std::set<std::string> instances{""};
  try {
    for (const std::string& instance : daemon::known_instances()) instances.insert(instance);
  } catch (const os::Error&) {
    // Without systemd the files and the sockets tell.
  }
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(arguments.option("config", "/etc/hyper2kvm"), code)) {
    std::string name = entry.path().filename().string();
    if (name.starts_with("hyper2kvm-") && name.ends_with(".conf"))
      add(instances, name.substr(10, name.size() - 15));
  }
  for (const auto& entry : fs::directory_iterator("/run", code)) {
    std::string name = entry.path().filename().string();
    if (name.starts_with("hyper2kvm-") && fs::exists(entry.path() / "control.sock", code))
      add(instances, name.substr(10));
  }
  return {instances.begin(), instances.end()};
}

daemon::Settings settings_of(const HyperctlArguments& arguments, const std::string& instance) {
  daemon::SettingsSource source;
  source.instance = instance;
  source.configuration_directory = arguments.option("config", "/etc/hyper2kvm");
  try {
    return daemon::load_settings(source).settings;
  } catch (const os::Error&) {
    source.configuration_directory = "/nonexistent";
    return daemon::load_settings(source).settings;
  }
}

}  // namespace hyper2kvm::cli
