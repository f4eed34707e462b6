// How long to wait after the n-th failure in a row: initial * factor^(n-1), at most `longest`, and a random
// part on top so that many clients of one server do not come back in step.
#pragma once

#include "operator/kube/clock.h"

namespace hyper2kvm::kube {

struct Backoff {
  Duration initial{};
  double factor = 2;
  Duration longest{};
  // The wait is stretched by up to this share of itself: 1 means up to twice as long.
  double jitter = 0;

  // failures: how many in a row, 0 means no wait. random: in [0, 1).
  Duration delay(unsigned failures, double random = 0) const;
};

// A key of a work queue that failed: 5 ms, 10 ms, ... 1000 s.
inline constexpr Backoff kKeyBackoff{std::chrono::milliseconds(5), 2, std::chrono::seconds(1000), 0};
// A list or a watch that failed: 0.8 s, 1.6 s, ... 30 s, each up to twice as long.
inline constexpr Backoff kWatchBackoff{std::chrono::milliseconds(800), 2, std::chrono::seconds(30), 1};

// A number in [0, 1), not for secrets. Safe to call from any thread.
double random_unit();

}  // namespace hyper2kvm::kube
