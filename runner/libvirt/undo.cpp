#include "runner/libvirt/undo.h"

namespace hyper2kvm::libvirt {

void Undo::add(std::string advice, std::function<void(const Connection&)> action) {
  steps_.push_back({std::move(advice), std::move(action)});
}

os::Error Undo::roll_back(Connection& connection, const os::Error& cause,
                          std::chrono::seconds reconnect_limit) {
  std::string advice = cause.advice();
  bool may_reconnect = true;
  auto succeeds = [&](const Step& step) {
    try {
      step.action(connection);
      return true;
    } catch (const os::Error&) {
      return false;
    }
  };
  // Not the caller's token: a stop is the very reason why this may run.
  auto reconnected = [&] {
    if (!may_reconnect || connection.is_alive()) return false;
    may_reconnect = false;
    try {
      connection.reopen({}, reconnect_limit);
      return true;
    } catch (const os::Error&) {
      return false;
    }
  };
  for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
    if (succeeds(*step) || (reconnected() && succeeds(*step))) continue;
    advice += (advice.empty() ? "" : " ") + step->advice;
  }
  steps_.clear();
  return os::Error(cause.kind(), cause.subject(), cause.problem(), advice, cause.errno_value());
}

}  // namespace hyper2kvm::libvirt
