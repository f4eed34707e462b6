// Reads what a starting machine says on its serial console, and tells whether it came up or gave up.
//
//   undecided ─┬─► up       a login prompt, the target that all services belong to
//              └─► failed   a panic, an emergency shell, a boot loader or a firmware that found nothing
//
// The first sign decides. A pure state machine: bytes in, a verdict out; how the bytes are cut makes no
// difference. What a guest prints is hostile: a line and the tail are kept within bounds, terminal sequences
// are taken out. Not thread-safe, as any value.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>

namespace hyper2kvm::boot {

enum class Verdict { kUndecided, kUp, kFailed };

class ConsoleWatch {
 public:
  static constexpr std::size_t kLongestLine = 1024;
  static constexpr std::size_t kTail = 4096;

  void feed(std::string_view bytes);

  Verdict verdict() const { return verdict_; }
  // "login prompt"; of a failure what happened to the machine: "its kernel panicked".
  const std::string& sign() const { return sign_; }
  // True as long as nothing but blanks was said.
  bool is_silent() const { return !said_anything_; }
  // The last lines, at most kTail bytes of valid text, control characters taken out but for line ends.
  std::string tail() const;
  // The same for a message: the last lines, at most that many bytes, on one line.
  std::string last_words(std::size_t limit) const;

 private:
  enum class State { kText, kEscape, kSequence, kCommand, kCommandEscape };
  void take(char c);
  void end_line();
  void look(bool is_whole);

  State state_ = State::kText;
  std::size_t sequence_ = 0;  // bytes of a terminal sequence so far: noise may look like one without an end
  std::string line_;
  std::deque<std::string> lines_;
  std::size_t kept_ = 0;  // bytes in lines_
  bool said_anything_ = false;
  Verdict verdict_ = Verdict::kUndecided;
  std::string sign_;
};

}  // namespace hyper2kvm::boot
