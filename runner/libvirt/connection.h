// A connection to libvirt that opens within bounded time, notices a dead peer, and can be opened again.
//
// libvirt's calls block and cannot be interrupted. Opening therefore happens in a thread that is left behind
// when the time is over or a stop is asked for (it closes what it may yet get). An open connection sends
// keepalive messages, so that a call to a host that vanished fails within half a minute.
#pragma once

#include <libvirt/libvirt.h>

#include <chrono>
#include <memory>
#include <string>

#include "runner/libvirt/uri.h"
#include "runner/os/stop.h"

namespace hyper2kvm::libvirt {

class Connection {
 public:
  // For the embedded driver, makes its root directory ready first. Throws os::Error.
  static Connection open(const std::string& uri, const os::StopToken& stop,
                         std::chrono::seconds limit = std::chrono::seconds(90));

  virConnectPtr get() const { return handle_.get(); }
  const ConnectionUri& uri() const { return uri_; }
  // False once the peer is known to be gone.
  bool is_alive() const;
  // Opens it anew, trying again until the time is over. Throws os::Error.
  void reopen(const os::StopToken& stop, std::chrono::seconds limit);

 private:
  struct Close {
    void operator()(virConnectPtr connection) const noexcept { virConnectClose(connection); }
  };
  ConnectionUri uri_;
  std::unique_ptr<virConnect, Close> handle_;
};

}  // namespace hyper2kvm::libvirt
