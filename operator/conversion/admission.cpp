#include "operator/conversion/admission.h"

namespace hyper2kvm::conversion {

Admission::Answer Admission::ask(const kube::ObjectKey& key, kube::Calendar created) const {
  std::lock_guard lock(mutex_);
  Answer answer;
  if (limit_ == 0 || holders_.contains(key)) {
    answer.may_start = true;
    return answer;
  }
  for (const Turn& turn : waiting_) {
    if (turn >= Turn(created, key)) break;
    ++answer.ahead;
  }
  answer.may_start = holders_.size() + answer.ahead < limit_;
  return answer;
}

std::vector<kube::ObjectKey> Admission::set(const kube::ObjectKey& key, kube::Calendar created, Place place) {
  std::lock_guard lock(mutex_);
  if (auto known = created_.find(key); known != created_.end()) {
    waiting_.erase({known->second, key});
    created_.erase(known);
  }
  holders_.erase(key);
  if (place == Place::kHolds) holders_.insert(key);
  if (place == Place::kWaits) {
    waiting_.insert({created, key});
    created_[key] = created;
  }
  return next_locked();
}

std::size_t Admission::holders() const {
  std::lock_guard lock(mutex_);
  return holders_.size();
}

std::vector<kube::ObjectKey> Admission::next_locked() const {
  std::vector<kube::ObjectKey> keys;
  for (const Turn& turn : waiting_) {
    if (limit_ != 0 && holders_.size() + keys.size() >= limit_) break;
    keys.push_back(turn.second);
  }
  return keys;
}

}  // namespace hyper2kvm::conversion
