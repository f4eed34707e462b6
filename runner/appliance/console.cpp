#include "runner/appliance/console.h"

#include <algorithm>
#include <array>
#include <vector>

namespace hyper2kvm::appliance {
namespace {

constexpr std::size_t kLongestReason = 300;

// "<4>[    1.234567] text" (so the kernel prints its whole log while it dies) without the level and the time;
// printable ASCII, and short.
std::string cleaned(std::string_view line) {
  if (line.size() > 3 && line[0] == '<' && line[1] >= '0' && line[1] <= '7' && line[2] == '>')
    line.remove_prefix(3);
  if (line.starts_with('[')) {
    std::size_t end = line.find(']');
    bool is_time = end != std::string_view::npos && end > 1 &&
                   std::all_of(line.begin() + 1, line.begin() + static_cast<std::ptrdiff_t>(end),
                               [](char c) { return c == ' ' || c == '.' || (c >= '0' && c <= '9'); });
    if (is_time) line.remove_prefix(end + 1);
  }
  std::string result;
  for (char c : line) result += c >= ' ' && c <= '~' ? c : ' ';
  std::size_t begin = result.find_first_not_of(' ');
  if (begin == std::string::npos) return "";
  result = result.substr(begin, result.find_last_not_of(' ') - begin + 1);
  if (result.size() > kLongestReason) result.resize(kLongestReason);
  return result;
}

// Lines that a crash prints after the one that says what happened.
bool is_dump(const std::string& line) {
  static constexpr std::array<std::string_view, 12> kStarts = {
      "[<",   "Call Trace:", "Stack:", "Modules linked in:", "Pid:", "CPU:",
      "RIP:", "RSP:",        "RAX:",   "Workqueue:",         "EIP:", "---["};
  if (line.empty()) return true;
  for (std::string_view start : kStarts)
    if (line.starts_with(start)) return true;
  // "RBX: 0000... RCX: 0000..." and the words of a stack.
  bool is_register = line.size() > 5 && (line[3] == ':' || line[2] == ':') && line[0] == 'R';
  bool is_words = line.size() >= 8 && line.find_first_not_of("0123456789abcdef <>") == std::string::npos;
  return is_register || is_words;
}

std::vector<std::string> cleaned_lines(std::string_view text) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(cleaned(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return lines;
}

}  // namespace

void ConsoleLog::append(std::string_view bytes) {
  std::size_t into_head = std::min(bytes.size(), kHead - head_.size());
  head_.append(bytes.substr(0, into_head));
  bytes.remove_prefix(into_head);
  if (bytes.size() > kTail) {
    bytes.remove_prefix(bytes.size() - kTail);
    tail_.clear();
    cut_ = true;
  }
  tail_.append(bytes);
  // Cut now and then, not at every byte.
  if (tail_.size() > 2 * kTail) {
    tail_.erase(0, tail_.size() - kTail);
    cut_ = true;
  }
}

std::string ConsoleLog::text() const {
  bool cut = cut_ || tail_.size() > kTail;
  if (!cut) return head_ + tail_;
  std::string_view tail(tail_);
  if (tail.size() > kTail) tail.remove_prefix(tail.size() - kTail);
  return head_ + "\n... (left out) ...\n" + std::string(tail);
}

std::string ConsoleLog::reason() const {
  std::string last;
  std::string panic;
  for (const std::string& line : cleaned_lines(text())) {
    if (is_dump(line)) continue;
    last = line;
    // The first panic is the cause; what the machine prints while it dies is not.
    if (panic.empty() && line.starts_with("Kernel panic")) panic = line;
  }
  return panic.empty() ? last : panic;
}

bool ConsoleLog::halted() const {
  for (const std::string& line : cleaned_lines(text())) {
    if (line.starts_with("Kernel panic")) return false;
    if (line == "reboot: System halted" || line == "reboot: Power down") return true;
  }
  return false;
}

}  // namespace hyper2kvm::appliance
