// Cuts a stream of bytes into lines, whatever the pieces that it comes in.
//
// A watch and a pod's log are lines; where a line ends has nothing to do with where a read, a TLS record or
// an HTTP chunk ends. Lines are bounded, because what a pod prints is not ours to trust.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace hyper2kvm::kube {

// Not thread-safe.
class LineDecoder {
 public:
  // limit: bytes of a line without its "\n". A longer line is handed out cut, and the rest of it is skipped.
  explicit LineDecoder(std::size_t limit) : limit_(limit) {}

  // The line is without "\n" or "\r\n", valid during the call only.
  using Handler = std::function<void(std::string_view line, bool was_cut)>;
  // Calls the handler for each line that these bytes complete.
  void feed(std::string_view bytes, const Handler& handler);
  // The stream is over: hands out a last line that has no end, if there is one.
  void finish(const Handler& handler);
  // True between lines.
  bool is_empty() const { return rest_.empty() && !skipping_; }

 private:
  void add(std::string_view part);
  void end_line(const Handler& handler);

  const std::size_t limit_;
  std::string rest_;       // the line so far
  bool skipping_ = false;  // the line is already longer than the limit
};

}  // namespace hyper2kvm::kube
