// Lines from a process that is not trusted: cut at '\n', never longer than was allowed.
//
// Not thread-safe, as any value.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace hyper2kvm::appliance {

class LineReader {
 public:
  // longest_line: bytes without the '\n'.
  explicit LineReader(std::size_t longest_line) : longest_line_(longest_line) {}

  // Throws os::Error (kInvalid) as soon as a line cannot stay within the limit.
  void append(std::string_view bytes);
  // The oldest whole line, without its '\n'.
  std::optional<std::string> next();

 private:
  std::size_t longest_line_;
  std::string buffer_;
  std::size_t begin_ = 0;    // of the first line that was not handed out
  std::size_t scanned_ = 0;  // no '\n' in [begin_, scanned_)
};

}  // namespace hyper2kvm::appliance
