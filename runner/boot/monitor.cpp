#include "runner/boot/monitor.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "runner/os/error.h"

namespace hyper2kvm::boot {
namespace {

using nlohmann::json;

// A document that nests deeper than any answer would be built and destroyed level by level.
bool is_shallow(std::string_view line) {
  int depth = 0;
  bool in_text = false;
  for (std::size_t at = 0; at < line.size(); ++at) {
    char c = line[at];
    if (in_text) {
      if (c == '\\')
        ++at;
      else if (c == '"')
        in_text = false;
    } else if (c == '"') {
      in_text = true;
    } else if (c == '{' || c == '[') {
      if (++depth > JsonLine::kDeepest) return false;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return true;
}

}  // namespace

JsonLine::Ends JsonLine::make_ends() {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    throw os::system_error(errno, "make a socket for", "the machine's monitor");
  Ends made{os::UniqueFd(ends[0]), os::UniqueFd(ends[1])};
  if (::fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0)
    throw os::system_error(errno, "prepare a socket for", "the machine's monitor");
  return made;
}

void JsonLine::send(const json& message) {
  if (to_send_.size() < kLongestLine) to_send_ += message.dump() + "\n";
  flush();
}

void JsonLine::flush() {
  while (!to_send_.empty()) {
    ssize_t sent = ::send(fd_.get(), to_send_.data(), to_send_.size(), MSG_NOSIGNAL);
    if (sent > 0)
      to_send_.erase(0, static_cast<std::size_t>(sent));
    else if (errno != EINTR)
      return;  // later, or never: an end of the process is noticed elsewhere
  }
}

bool JsonLine::receive(std::vector<json>& messages) {
  flush();
  char buffer[16384];
  while (true) {
    ssize_t got = ::recv(fd_.get(), buffer, sizeof buffer, 0);
    if (got == 0) return false;
    if (got < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN || errno == EWOULDBLOCK;
    }
    received_.append(buffer, static_cast<std::size_t>(got));
    std::size_t begin = 0;
    for (std::size_t end; (end = received_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      if (!skips_) take_line(std::string_view(received_).substr(begin, end - begin), messages);
      skips_ = false;
    }
    received_.erase(0, begin);
    if (received_.size() > kLongestLine) {
      received_.clear();
      skips_ = true;
    }
    // One turn takes no more than this, whatever arrives.
    if (messages.size() > 1000) return true;
  }
}

void JsonLine::take_line(std::string_view line, std::vector<json>& messages) {
  if (!is_shallow(line)) return;
  json message = json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
  if (message.is_object()) messages.push_back(std::move(message));
}

}  // namespace hyper2kvm::boot
