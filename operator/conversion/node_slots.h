// The limit for each node: of N slots that every node has, each runner gets one, and its pod is kept off the
// nodes that have a runner in that slot (pod anti-affinity). So the scheduler keeps the limit, whatever nodes
// come and go, and a runner that finds none starts as soon as its slot is free somewhere.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <vector>

#include "operator/kube/resource.h"

namespace hyper2kvm::conversion {

// Not thread-safe.
class NodeSlots {
 public:
  // 0: no limit.
  explicit NodeSlots(std::size_t per_node) : used_(per_node) {}

  // The slot that fewest have, the same for the same conversion until it is released; none without a limit.
  std::optional<std::size_t> take(const kube::ObjectKey& conversion);
  // One that has its slot from before; what is no slot is ignored.
  void note(const kube::ObjectKey& conversion, std::size_t slot);
  void release(const kube::ObjectKey& conversion);

 private:
  std::vector<std::size_t> used_;  // how many have each
  std::map<kube::ObjectKey, std::size_t> taken_;
};

}  // namespace hyper2kvm::conversion
