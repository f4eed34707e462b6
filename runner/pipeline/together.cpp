#include "runner/pipeline/together.h"

#include <utility>

#include "runner/os/error.h"

namespace hyper2kvm::pipeline {

void Together::start(std::function<void(const os::StopToken&)> task) {
  threads_.emplace_back([this, task = std::move(task)] {
    try {
      task(stop_.token());
      return;
    } catch (const os::Error& error) {
      std::lock_guard lock(mutex_);
      std::exception_ptr& slot = error.kind() == os::ErrorKind::kCancelled ? consequence_ : cause_;
      if (!slot) slot = std::current_exception();
    } catch (...) {
      std::lock_guard lock(mutex_);
      if (!cause_) cause_ = std::current_exception();
    }
    stop_.request_stop();
  });
}

void Together::join() {
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void Together::wait() {
  join();
  if (cause_) std::rethrow_exception(cause_);
  if (consequence_) std::rethrow_exception(consequence_);
}

Together::~Together() {
  if (threads_.empty()) return;
  stop_.request_stop();
  join();
}

}  // namespace hyper2kvm::pipeline
