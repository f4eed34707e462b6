// A whole operator in a page, made of operator/kube: what the tests start, stop, kill and freeze.
//
//   e2e_kube_operator IDENTITY NAMESPACE LEASE-SECONDS METRICS-ADDRESS
//
// It marks each ConfigMap with the label app=work with its identity, once, and while it leads it writes its
// identity into the ConfigMap "beat" as often as it can: so the history of that object shows who has led
// when.
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "operator/kube/cpprest_transport.h"
#include "operator/kube/end_process.h"
#include "operator/kube/manager.h"

using namespace hyper2kvm;
using kube::Json;

namespace {

// All that is kept of a ConfigMap would be this; Json is kept instead, to see what that costs.
std::string done_by(const Json& map) { return kube::annotation_of(map, "done-by"); }

int run(const std::string& identity, const std::string& name_space, int seconds, const std::string& address) {
  os::StopToken stop = os::stop_on_signals();
  kube::use_few_threads();
  kube::Logger log = kube::Logger(kube::log_to_descriptor(STDERR_FILENO), kube::LogLevel::kInfo)
                         .with({{"identity", identity}});

  kube::Config config = kube::load_config("", "", ::getenv);
  kube::Metrics metrics;
  kube::Client::Options client_options;
  client_options.observer = [&](const kube::RequestRecord& record) { metrics.count_request(record); };
  kube::Client client = kube::Client::connect(config, client_options);

  kube::ManagerOptions options;
  options.metrics_address = options.health_address = address;
  options.election = kube::LeaderElectionOptions{name_space, "small-operator", identity, {}};
  options.election->times = {std::chrono::seconds(seconds), std::chrono::seconds(seconds * 2 / 3),
                             std::chrono::seconds(1)};
  kube::Manager manager(client, options, metrics, log);

  kube::InformerOptions work_options;
  work_options.namespaces = {name_space};
  work_options.label_selector = "app=work";
  auto maps = std::make_shared<kube::Informer<Json>>(kube::types::kConfigMaps, work_options,
                                                     kube::keep_all_but_managed_fields, log);
  kube::ControllerOptions controller_options;
  controller_options.name = "work";
  controller_options.kind = "ConfigMap";
  controller_options.workers = 2;
  auto controller = std::make_shared<kube::Controller>(
      controller_options,
      [&](const kube::ReconcileRequest& request) {
        auto map = maps->cache().get(request.key);
        if (!map || !done_by(*map).empty()) return kube::ReconcileOutcome::done();
        Json mark = {{"metadata",
                      {{"name", request.key.name},
                       {"namespace", request.key.name_space},
                       {"annotations", {{"done-by", identity}}}}}};
        client.apply(kube::types::kConfigMaps, mark, "small-operator");
        request.log.info("marked");
        return kube::ReconcileOutcome::done();
      },
      metrics, log);
  maps->cache().on_change([&](const kube::ObjectKey& key, const auto&, const auto& after) {
    if (after) controller->queue().add(key);
  });
  manager.add(maps);
  manager.add(controller);
  manager.add_task("beat", [&](const std::stop_token& stopped) {
    Json beat = {{"metadata", {{"name", "beat"}, {"namespace", name_space}}}};
    for (int count = 0; !stopped.stop_requested(); ++count) {
      beat["data"] = {{"writer", identity}, {"count", std::to_string(count)}};
      client.apply(kube::types::kConfigMaps, beat, "beat");
      kube::Clock::real().sleep(std::chrono::milliseconds(20), stopped);
    }
  });
  manager.run(stop);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: " << argv[0] << " IDENTITY NAMESPACE LEASE-SECONDS METRICS-ADDRESS\n";
    return 2;
  }
  try {
    kube::end_process(run(argv[1], argv[2], std::atoi(argv[3]), argv[4]));
  } catch (const os::Error& error) {
    std::cerr << error.sentence() << "\n";
    kube::end_process(error.exit_status());
  }
}
