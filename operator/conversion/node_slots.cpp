#include "operator/conversion/node_slots.h"

#include <algorithm>

namespace hyper2kvm::conversion {

std::optional<std::size_t> NodeSlots::take(const kube::ObjectKey& conversion) {
  if (used_.empty()) return std::nullopt;
  if (auto found = taken_.find(conversion); found != taken_.end()) return found->second;
  auto slot = static_cast<std::size_t>(std::min_element(used_.begin(), used_.end()) - used_.begin());
  note(conversion, slot);
  return slot;
}

void NodeSlots::note(const kube::ObjectKey& conversion, std::size_t slot) {
  if (slot >= used_.size() || !taken_.emplace(conversion, slot).second) return;
  ++used_[slot];
}

void NodeSlots::release(const kube::ObjectKey& conversion) {
  auto found = taken_.find(conversion);
  if (found == taken_.end()) return;
  --used_[found->second];
  taken_.erase(found);
}

}  // namespace hyper2kvm::conversion
