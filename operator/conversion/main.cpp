// The program `hyper2kvm-operator`.
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <iostream>

#include "operator/conversion/conversion_controller.h"
#include "operator/conversion/operator_options.h"
#include "operator/conversion/words.h"
#include "operator/kube/cpprest_transport.h"
#include "operator/kube/end_process.h"
#include "runner/contract/text.h"
#include "runner/contract/version.h"
#include "runner/os/stop.h"

namespace hyper2kvm::conversion {
namespace {

// "10.0.0.1:443" of "https://10.0.0.1:443/path", as the requests are counted under.
std::string host_of(std::string server) {
  if (std::size_t scheme = server.find("://"); scheme != std::string::npos) server.erase(0, scheme + 3);
  return server.substr(0, server.find('/'));
}

int run(const OperatorOptions& given) {
  os::StopToken stop = os::stop_on_signals();
  kube::use_few_threads();
  kube::Logger log(kube::log_to_descriptor(STDERR_FILENO), given.log_level);
  kube::Config config = kube::load_config(given.kubeconfig, given.context, std::getenv);
  std::string identity = kube::unique_identity();
  log.info("starting", {{"version", std::string(contract::hyper2kvm_version())},
                        {"identity", identity},
                        {"server", config.server},
                        {"runnerImage", given.runner_image}});

  kube::Metrics metrics(host_of(config.server));
  kube::Client::Options client_options;
  client_options.user_agent = std::string(kOperatorName) + "/" + std::string(contract::hyper2kvm_version());
  client_options.observer = [&metrics](const kube::RequestRecord& record) { metrics.count_request(record); };
  kube::Client client = kube::Client::connect(config, client_options);

  kube::ManagerOptions manager_options;
  manager_options.metrics_address = given.metrics_address;
  manager_options.health_address = given.health_address;
  if (given.leader_elect) {
    kube::LeaderElectionOptions election;
    election.name_space =
        given.leader_elect_namespace.empty() ? config.default_namespace : given.leader_elect_namespace;
    election.name = kOperatorName;
    election.identity = identity;
    manager_options.election = election;
  }
  ConversionControllerOptions options;
  options.namespaces = given.namespaces;
  options.runner = {given.runner_image, given.namespaces};
  options.max_running = given.max_running;
  options.max_running_per_node = given.max_running_per_node;
  options.host = identity;
  ConversionController controller(client, options, metrics, log);
  kube::Manager manager(client, manager_options, metrics, log);
  controller.add_to(manager);
  manager.run(stop);
  log.info("stopped");
  return 0;
}

[[noreturn]] void fail(const std::string& sentence, int status) {
  std::cerr << "hyper2kvm-operator: " << contract::printable(sentence, 16384) << "\n";
  kube::end_process(status);
}

}  // namespace
}  // namespace hyper2kvm::conversion

int main(int count, char** words) {
  using namespace hyper2kvm;
  try {
    conversion::OperatorOptions options = conversion::parse_operator_options({words + 1, words + count});
    if (!options.say.empty()) {
      std::cout << options.say << std::flush;
      return 0;
    }
    kube::end_process(conversion::run(options));
  } catch (const os::Error& error) {
    conversion::fail(error.sentence(), error.exit_status());
  } catch (const std::exception& error) {
    conversion::fail(std::string("an unexpected error: ") + error.what() + ". Please report it.", 1);
  }
}
