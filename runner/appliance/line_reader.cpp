#include "runner/appliance/line_reader.h"

#include "runner/os/error.h"

namespace hyper2kvm::appliance {

void LineReader::append(std::string_view bytes) {
  if (begin_ > 0) {
    buffer_.erase(0, begin_);
    scanned_ -= begin_;
    begin_ = 0;
  }
  // What is already buffered may hold whole lines; only the part after the last one counts as unfinished.
  std::size_t old_end = buffer_.rfind('\n');
  std::size_t unfinished = old_end == std::string::npos ? buffer_.size() : buffer_.size() - old_end - 1;
  while (true) {
    std::size_t line_end = bytes.find('\n');
    std::size_t piece = line_end == std::string_view::npos ? bytes.size() : line_end;
    if (unfinished + piece > longest_line_)
      throw os::Error(
          os::ErrorKind::kInvalid, "appliance",
          "its agent sent a line of more than " + std::to_string(longest_line_) + " bytes",
          "The guest's disks may be damaged or hostile: look at the machine before it is converted.");
    if (line_end == std::string_view::npos) break;
    buffer_.append(bytes.substr(0, line_end + 1));
    bytes.remove_prefix(line_end + 1);
    unfinished = 0;
  }
  buffer_.append(bytes);
}

std::optional<std::string> LineReader::next() {
  std::size_t end = buffer_.find('\n', scanned_);
  if (end == std::string::npos) {
    scanned_ = buffer_.size();
    return std::nullopt;
  }
  std::string line = buffer_.substr(begin_, end - begin_);
  begin_ = scanned_ = end + 1;
  return line;
}

}  // namespace hyper2kvm::appliance
