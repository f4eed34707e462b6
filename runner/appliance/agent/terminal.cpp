#include "runner/appliance/agent/terminal.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

#include "runner/os/error.h"

namespace hyper2kvm::appliance::agent {

Terminal Terminal::open(const char* device) {
  Terminal terminal;
  terminal.fd_.reset(::open(device, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal.fd_) throw os::system_error(errno, "open", device);
  termios settings{};
  if (::tcgetattr(terminal.fd_.get(), &settings) != 0) throw os::system_error(errno, "look at", device);
  ::cfmakeraw(&settings);
  settings.c_cc[VMIN] = 1;
  settings.c_cc[VTIME] = 0;
  if (::tcsetattr(terminal.fd_.get(), TCSANOW, &settings) != 0)
    throw os::system_error(errno, "set up", device);
  return terminal;
}

std::string Terminal::read_line(std::size_t longest) {
  while (true) {
    if (std::size_t end = buffer_.find('\n'); end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    if (buffer_.size() > longest)
      throw os::Error(os::ErrorKind::kInvalid, "request",
                      "is longer than " + std::to_string(longest) + " bytes");
    char bytes[4096];
    ssize_t got = ::read(fd_.get(), bytes, sizeof bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw os::system_error(errno, "read", "request");
    if (got == 0) throw os::Error(os::ErrorKind::kSystem, "request", "ends before its line does");
    buffer_.append(bytes, static_cast<std::size_t>(got));
  }
}

void Terminal::write_line(std::string_view line) {
  std::string text(line);
  text += '\n';
  std::string_view left = text;
  while (!left.empty()) {
    ssize_t put = ::write(fd_.get(), left.data(), left.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw os::system_error(errno, "send", "answer");
    left.remove_prefix(static_cast<std::size_t>(put));
  }
}

void Terminal::drain() { ::tcdrain(fd_.get()); }

}  // namespace hyper2kvm::appliance::agent
