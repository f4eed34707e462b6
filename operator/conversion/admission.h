// Which conversions may run at once: a cluster-wide limit, in the order in which they were created.
//
// The one operator that leads decides, so it need not ask anybody: it counts the places that it has given
// out, without waiting for its own writes to come back through the cache. Whoever leads next learns from the
// status of each conversion who holds one.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "operator/conversion/decide.h"
#include "operator/kube/clock.h"
#include "operator/kube/resource.h"

namespace hyper2kvm::conversion {

// Safe to call from any thread.
class Admission {
 public:
  // 0: no limit.
  explicit Admission(std::size_t limit) : limit_(limit) {}

  struct Answer {
    bool may_start = false;
    std::size_t ahead = 0;  // how many wait before it
  };
  // Whether this one, created then, would get a place now. One that holds a place always would.
  Answer ask(const kube::ObjectKey& key, kube::Calendar created) const;
  // Notes what it has now. Returns those that wait and would get a place: somebody must look at them again.
  std::vector<kube::ObjectKey> set(const kube::ObjectKey& key, kube::Calendar created, Place place);
  std::vector<kube::ObjectKey> forget(const kube::ObjectKey& key) { return set(key, {}, Place::kNone); }
  std::size_t holders() const;

 private:
  using Turn = std::pair<kube::Calendar, kube::ObjectKey>;
  std::vector<kube::ObjectKey> next_locked() const;

  const std::size_t limit_;
  mutable std::mutex mutex_;
  std::set<kube::ObjectKey> holders_;
  std::set<Turn> waiting_;
  std::map<kube::ObjectKey, kube::Calendar> created_;  // of those that wait
};

}  // namespace hyper2kvm::conversion
