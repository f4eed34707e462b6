// The console of the kernel inside: kept within bounds, and asked for a reason when the machine ended badly.
//
// What is printed there comes from a machine that may be hostile: it is kept as bytes, and cleaned of control
// characters before a person sees any of it. Not thread-safe, as any value.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace hyper2kvm::appliance {

class ConsoleLog {
 public:
  // The first kHead and the last kTail bytes are kept.
  static constexpr std::size_t kHead = 32 * 1024;
  static constexpr std::size_t kTail = 96 * 1024;

  void append(std::string_view bytes);
  // All that is kept; a line says where something was left out.
  std::string text() const;
  // The line that tells a person most about why the machine ended: the panic's own, else the last one that is
  // no part of a register dump or a call trace. Without the time, at most 300 characters, printable; empty
  // when nothing was printed.
  std::string reason() const;
  // True where the kernel has said that it has halted, before any panic: nothing of it was running any more.
  bool halted() const;

 private:
  std::string head_;
  std::string tail_;
  bool cut_ = false;
};

}  // namespace hyper2kvm::appliance
