// The command line and the environment of `hyper2kvm-operator`. Every option may be given either way; the
// command line wins. Source: docs/kubernetes.md.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "operator/kube/logger.h"

namespace hyper2kvm::conversion {

struct OperatorOptions {
  std::string say;                      // --help or --version: print this and end
  std::vector<std::string> namespaces;  // empty: all
  std::string runner_image;
  std::size_t max_running = 4;           // 0: no limit
  std::size_t max_running_per_node = 0;  // 0: no limit
  bool leader_elect = false;
  std::string leader_elect_namespace;  // empty: the pod's own
  // Empty: not served.
  std::string metrics_address = ":8080";
  std::string health_address = ":8081";
  kube::LogLevel log_level = kube::LogLevel::kInfo;
  std::string kubeconfig, context;
};

// arguments: without the program's name. Throws os::Error (kUsage).
OperatorOptions parse_operator_options(std::vector<std::string> arguments);

}  // namespace hyper2kvm::conversion
