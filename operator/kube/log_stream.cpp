#include "operator/kube/log_stream.h"

namespace hyper2kvm::kube {

LogStream::LogStream(std::unique_ptr<HttpBody> body, std::size_t line_limit,
                     std::chrono::milliseconds patience, std::stop_token stop,
                     std::shared_ptr<const void> stop_owner)
    : body_(std::move(body)),
      patience_(patience),
      stop_owner_(std::move(stop_owner)),
      stop_(std::move(stop)),
      decoder_(line_limit) {}

std::optional<LogLine> LogStream::next() {
  auto keep = [&](std::string_view line, bool was_cut) { lines_.push_back({std::string(line), was_cut}); };
  while (lines_.empty() && !ended_) {
    std::string bytes;
    if (body_->read(bytes, patience_, stop_)) {
      decoder_.feed(bytes, keep);
    } else {
      ended_ = true;
      decoder_.finish(keep);
    }
  }
  if (lines_.empty()) return std::nullopt;
  LogLine line = std::move(lines_.front());
  lines_.pop_front();
  return line;
}

}  // namespace hyper2kvm::kube
