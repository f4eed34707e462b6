// Keeps log lines for a test to look at.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "operator/kube/logger.h"

namespace hyper2kvm::kube {

class LogLines final : public LogSink {
 public:
  void write(std::string_view line) override {
    std::lock_guard lock(mutex_);
    lines_.push_back(Json::parse(line));
  }
  std::vector<Json> all() const {
    std::lock_guard lock(mutex_);
    return lines_;
  }
  std::vector<Json> with_message(const std::string& message) const {
    std::vector<Json> found;
    for (const Json& line : all())
      if (line["msg"] == message) found.push_back(line);
    return found;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Json> lines_;
};

}  // namespace hyper2kvm::kube
