// An open watch: events as they come.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "operator/kube/line_decoder.h"
#include "operator/kube/transport.h"
#include "operator/kube/watch_event.h"

namespace hyper2kvm::kube {

// Not thread-safe. Destroying it closes the connection.
class WatchStream {
 public:
  // patience: how long the server may be silent. It ends a watch by itself after timeoutSeconds, so longer
  // than that means that it is gone. stop_owner: what must live as long as the stop is looked at.
  WatchStream(std::unique_ptr<HttpBody> body, ResourceType type, std::chrono::milliseconds patience,
              std::stop_token stop, std::shared_ptr<const void> stop_owner = nullptr);

  // The next event; nothing when the server has ended the watch in good order. Throws ApiError for an ERROR
  // event, os::Error (kSystem) when the connection breaks, kCancelled when the stop is requested.
  std::optional<WatchEvent> next();

 private:
  std::unique_ptr<HttpBody> body_;
  ResourceType type_;
  std::chrono::milliseconds patience_;
  std::shared_ptr<const void> stop_owner_;
  std::stop_token stop_;
  LineDecoder decoder_;
  std::deque<std::string> lines_;
};

}  // namespace hyper2kvm::kube
