#include "tests/e2e/kube/world.h"

#include <cstdlib>
#include <fstream>
#include <thread>

#include "operator/kube/text.h"
#include "runner/os/error.h"

namespace hyper2kvm::kube {

std::string small_operator() {
  for (const std::string& argument : testing::internal::GetArgvs())
    if (argument.rfind("--operator=", 0) == 0) return argument.substr(11);
  throw std::runtime_error("--operator=PROGRAM is missing");
}

bool is_campaign() { return std::getenv("HYPER2KVM_CLUSTER_CAMPAIGN") != nullptr; }

bool eventually(const std::function<bool()>& is_so) {
  auto limit = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < limit) {
    if (is_so()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return is_so();
}

void component(const std::string& action, const std::string& name) {
  const char* scripts = std::getenv("CLUSTER_SCRIPTS");
  if (scripts == nullptr) throw std::runtime_error("to be run by with-cluster.sh");
  // A component that is started again belongs to the cluster and not to this process.
  os::ProcessOptions options;
  options.arguments = {std::string(scripts) + "/component.sh", action, name};
  options.no_new_privileges = false;
  os::run_program(options);
}

void wait_for_server(const Client& client) {
  component("await", "apiserver");
  ASSERT_TRUE(eventually([&] {
    try {
      client.get_path("/version");
      return true;
    } catch (const os::Error&) {
      return false;
    }
  })) << "the API server does not come back";
}

World::World()
    : config(load_config("", "", ::getenv)),
      client(Client::connect(config, {})),
      name_space("test-" + random_hex(4)) {
  client.create(types::kNamespaces,
                {{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", name_space}}}});
}

World::~World() {
  try {
    client.remove(types::kNamespaces, {"", name_space});
  } catch (const os::Error& error) {
    ADD_FAILURE() << error.sentence();
  }
}

Json World::config_map(const std::string& name, const Json& data) const {
  return {{"apiVersion", "v1"},
          {"kind", "ConfigMap"},
          {"metadata", {{"name", name}, {"namespace", name_space}}},
          {"data", data}};
}

}  // namespace hyper2kvm::kube
