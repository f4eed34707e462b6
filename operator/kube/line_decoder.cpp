#include "operator/kube/line_decoder.h"

namespace hyper2kvm::kube {

void LineDecoder::feed(std::string_view bytes, const Handler& handler) {
  while (!bytes.empty()) {
    std::size_t end = bytes.find('\n');
    add(bytes.substr(0, end));
    if (end == std::string_view::npos) return;
    end_line(handler);
    bytes.remove_prefix(end + 1);
  }
}

void LineDecoder::finish(const Handler& handler) {
  if (!is_empty()) end_line(handler);
}

void LineDecoder::add(std::string_view part) {
  std::size_t room = limit_ - rest_.size();
  if (part.size() > room) skipping_ = true;
  rest_.append(part.substr(0, room));
}

void LineDecoder::end_line(const Handler& handler) {
  if (!skipping_ && rest_.ends_with('\r')) rest_.pop_back();
  handler(rest_, skipping_);
  rest_.clear();
  skipping_ = false;
}

}  // namespace hyper2kvm::kube
