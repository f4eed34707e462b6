// The way back out of a registration: what was done, in the order in which it was done.
//
// A step is noted before it is taken, so that one whose answer was lost with the connection is undone too;
// undoing what never happened must therefore be fine. Where the connection broke, it is opened again once for
// all steps, because a libvirtd that is restarted comes back within seconds.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "runner/libvirt/connection.h"
#include "runner/os/error.h"

namespace hyper2kvm::libvirt {

class Undo {
 public:
  // advice: what a person must do where this cannot be undone, a whole sentence.
  void add(std::string advice, std::function<void(const Connection&)> action);
  // Everything is to stay.
  void dismiss() { steps_.clear(); }
  // Undoes everything, the last step first. Returns cause, with the advice of the steps that failed.
  os::Error roll_back(Connection& connection, const os::Error& cause,
                      std::chrono::seconds reconnect_limit = std::chrono::seconds(20));

 private:
  struct Step {
    std::string advice;
    std::function<void(const Connection&)> action;
  };
  std::vector<Step> steps_;
};

}  // namespace hyper2kvm::libvirt
