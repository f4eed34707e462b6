// Tasks that live and die together: when one fails the others are asked to stop, and all have ended when
// wait() returns.
#pragma once

#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "runner/os/stop.h"

namespace hyper2kvm::pipeline {

// start() and wait() from one thread only.
class Together {
 public:
  explicit Together(const os::StopToken& parent) : stop_(parent) {}
  Together(const Together&) = delete;
  Together& operator=(const Together&) = delete;
  ~Together();

  void start(std::function<void(const os::StopToken&)> task);
  // Throws the first error that was not itself a consequence of stopping; else the first of those.
  void wait();

 private:
  void join();
  os::StopSource stop_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::exception_ptr cause_;
  std::exception_ptr consequence_;
};

}  // namespace hyper2kvm::pipeline
