// A container's log, line by line, while it is being written.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "operator/kube/line_decoder.h"
#include "operator/kube/transport.h"

namespace hyper2kvm::kube {

struct LogLine {
  std::string text;
  // The line was longer than the stream's limit: this is its beginning.
  bool was_cut = false;
};

// Not thread-safe. Destroying it closes the connection. What a container prints is not trusted: lines are
// bounded, and nothing is read ahead of the caller.
class LogStream {
 public:
  // stop_owner: what must live as long as the stop is looked at.
  LogStream(std::unique_ptr<HttpBody> body, std::size_t line_limit, std::chrono::milliseconds patience,
            std::stop_token stop, std::shared_ptr<const void> stop_owner = nullptr);

  // The next line; nothing at the log's end (the container ended, or everything was read of a log that is not
  // followed). Throws os::Error: kSystem when the connection breaks or the log was silent for the stream's
  // patience (open it again from the last line's time), kCancelled when the stop is requested.
  std::optional<LogLine> next();

 private:
  std::unique_ptr<HttpBody> body_;
  std::chrono::milliseconds patience_;
  std::shared_ptr<const void> stop_owner_;
  std::stop_token stop_;
  LineDecoder decoder_;
  std::deque<LogLine> lines_;
  bool ended_ = false;
};

}  // namespace hyper2kvm::kube
