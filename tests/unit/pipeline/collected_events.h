// A sink that keeps what it is told, for tests.
#pragma once

#include <mutex>
#include <vector>

#include "runner/contract/events.h"

namespace hyper2kvm::pipeline {

class CollectedEvents : public contract::EventSink {
 public:
  void emit(const contract::Event& event) override {
    std::lock_guard lock(mutex_);
    events_.push_back(event);
  }
  std::vector<contract::Event> all() const {
    std::lock_guard lock(mutex_);
    return events_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<contract::Event> events_;
};

}  // namespace hyper2kvm::pipeline
