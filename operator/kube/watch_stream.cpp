#include "operator/kube/watch_stream.h"

#include "runner/os/error.h"

namespace hyper2kvm::kube {
namespace {

// etcd takes objects of up to 1.5 MiB; as JSON, with managed fields, they are a few times that.
constexpr std::size_t kLineLimit = 32u << 20;

}  // namespace

WatchStream::WatchStream(std::unique_ptr<HttpBody> body, ResourceType type,
                         std::chrono::milliseconds patience, std::stop_token stop,
                         std::shared_ptr<const void> stop_owner)
    : body_(std::move(body)),
      type_(std::move(type)),
      patience_(patience),
      stop_owner_(std::move(stop_owner)),
      stop_(std::move(stop)),
      decoder_(kLineLimit) {}

std::optional<WatchEvent> WatchStream::next() {
  while (true) {
    while (!lines_.empty()) {
      std::string line = std::move(lines_.front());
      lines_.pop_front();
      if (!line.empty()) return decode_watch_event(line, type_);
    }
    std::string bytes;
    if (!body_->read(bytes, patience_, stop_)) {
      if (decoder_.is_empty()) return std::nullopt;
      throw os::Error(os::ErrorKind::kSystem, type_.qualified_name(), "the watch ended inside an event");
    }
    decoder_.feed(bytes, [&](std::string_view line, bool was_cut) {
      if (was_cut)
        throw os::Error(os::ErrorKind::kSystem, type_.qualified_name(),
                        "the watch sent an event of more than 32 MiB");
      lines_.emplace_back(line);
    });
  }
}

}  // namespace hyper2kvm::kube
