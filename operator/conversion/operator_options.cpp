#include "operator/conversion/operator_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <sstream>

#include "runner/contract/version.h"
#include "runner/os/error.h"

namespace hyper2kvm::conversion {
namespace {

using os::Error;
using os::ErrorKind;

const std::map<std::string, kube::LogLevel> kLevels{{"debug", kube::LogLevel::kDebug},
                                                    {"info", kube::LogLevel::kInfo},
                                                    {"warning", kube::LogLevel::kWarning},
                                                    {"error", kube::LogLevel::kError}};

void describe(CLI::App& app, OperatorOptions& options) {
  app.set_help_flag("-h,--help", "Show this help");
  app.set_version_flag("-V,--version", "hyper2kvm-operator " + std::string(contract::hyper2kvm_version()),
                       "Show the version");
  app.add_option("--runner-image", options.runner_image, "Image that runs `hyper2kvm convert`")
      ->type_name("IMAGE")
      ->envname("HYPER2KVM_RUNNER_IMAGE");
  app.add_option("--namespace", options.namespaces,
                 "Look at this namespace only; may be repeated, or be several with commas. Default is all")
      ->type_name("NAME")
      ->delimiter(',')
      ->envname("HYPER2KVM_NAMESPACES");
  app.add_option("--max-running", options.max_running,
                 "Conversions that may run at once; the others are queued. 0 is no limit")
      ->type_name("NUMBER")
      ->check(CLI::Range(0, 100000).description(""))
      ->envname("HYPER2KVM_MAX_RUNNING")
      ->capture_default_str();
  app.add_option("--max-running-per-node", options.max_running_per_node,
                 "The same for each node. 0 is no limit")
      ->type_name("NUMBER")
      ->check(CLI::Range(0, 100000).description(""))
      ->envname("HYPER2KVM_MAX_RUNNING_PER_NODE")
      ->capture_default_str();
  app.add_flag("--leader-elect", options.leader_elect,
               "Work only while holding a lease: for several replicas")
      ->envname("HYPER2KVM_LEADER_ELECT");
  app.add_option("--leader-elect-namespace", options.leader_elect_namespace,
                 "Namespace of the lease. Default is the pod's own")
      ->type_name("NAME")
      ->envname("HYPER2KVM_LEADER_ELECT_NAMESPACE");
  app.add_option("--metrics-address", options.metrics_address, "Where /metrics is served; 0 is nowhere")
      ->type_name("ADDRESS")
      ->envname("HYPER2KVM_METRICS_ADDRESS")
      ->capture_default_str();
  app.add_option("--health-address", options.health_address,
                 "Where /healthz, /livez and /readyz are served; 0 is nowhere")
      ->type_name("ADDRESS")
      ->envname("HYPER2KVM_HEALTH_ADDRESS")
      ->capture_default_str();
  app.add_option_function<std::string>(
         "--log-level", [&options](const std::string& word) { options.log_level = kLevels.at(word); },
         "debug, info, warning or error; each line is a JSON object on stderr. Default is info")
      ->type_name("LEVEL")
      ->check(CLI::IsMember(kLevels).description(""))
      ->envname("HYPER2KVM_LOG_LEVEL");
  app.add_option("--kubeconfig", options.kubeconfig,
                 "Outside of a cluster. Default is $KUBECONFIG, then the pod's service account")
      ->type_name("FILE");
  app.add_option("--context", options.context, "Context of the kubeconfig; else its current one")
      ->type_name("NAME");
}

}  // namespace

OperatorOptions parse_operator_options(std::vector<std::string> arguments) {
  OperatorOptions options;
  CLI::App app("Converts what VMConversion objects ask for, in a Kubernetes cluster.", "hyper2kvm-operator");
  app.get_formatter()->column_width(34);
  describe(app, options);
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      std::ostringstream out, ignored;
      app.exit(error, out, ignored);
      options.say = out.str();
      return options;
    }
    throw Error(ErrorKind::kUsage, "", error.what(), "`hyper2kvm-operator --help` shows the options.");
  }
  std::erase(options.namespaces, "");
  for (std::string* address : {&options.metrics_address, &options.health_address})
    if (*address == "0") address->clear();
  if (options.runner_image.empty())
    throw Error(ErrorKind::kUsage, "--runner-image", "is not given",
                "Name the image that runs `hyper2kvm convert`.");
  return options;
}

}  // namespace hyper2kvm::conversion
