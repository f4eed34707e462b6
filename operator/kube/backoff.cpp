#include "operator/kube/backoff.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace hyper2kvm::kube {

Duration Backoff::delay(unsigned failures, double random) const {
  if (failures == 0) return Duration::zero();
  // In floating point, where a thousand failures become infinity and not a small number.
  double base = static_cast<double>(initial.count()) * std::pow(factor, failures - 1.0);
  base = std::min(base, static_cast<double>(longest.count()));
  return Duration(static_cast<Duration::rep>(base * (1 + jitter * random)));
}

double random_unit() {
  thread_local std::minstd_rand engine(std::random_device{}());
  return std::uniform_real_distribution<double>(0, 1)(engine);
}

}  // namespace hyper2kvm::kube
