// process_*: what every Prometheus client library says of its process, read from /proc when it is asked for.
#pragma once

#include <prometheus/metric_family.h>

#include <vector>

namespace hyper2kvm::kube {

// CPU time, memory, descriptors, start time. What /proc does not tell is left out. Throws nothing.
std::vector<prometheus::MetricFamily> process_metrics();

}  // namespace hyper2kvm::kube
