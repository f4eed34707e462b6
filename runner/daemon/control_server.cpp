#include "runner/daemon/control_server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "runner/daemon/control_client.h"
#include "runner/os/error.h"

namespace hyper2kvm::daemon {
namespace {

constexpr std::size_t kLongestRequest = 65536;
constexpr std::size_t kMostUnread = 64u << 20;
constexpr std::size_t kMostClients = 64;

}  // namespace

ControlServer::ControlServer(std::filesystem::path path, Handler handler)
    : path_(std::move(path)), handler_(std::move(handler)) {
  sockaddr_un address = socket_address(path_);
  listener_ = os::UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener_) throw os::system_error(errno, "make", path_.string());
  os::UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (probe && ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
    throw os::Error(os::ErrorKind::kUsage, path_.string(), "is the control socket of a daemon that runs",
                    "Stop that one, or start this one as another instance.");
  ::unlink(path_.c_str());
  // Nobody may connect before the mode is what it must be, so it is set by the umask.
  mode_t before = ::umask(0117);
  int bound = ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  int error = errno;
  ::umask(before);
  if (bound != 0) throw os::system_error(error, "make", path_.string());
  if (::listen(listener_.get(), 32) != 0) throw os::system_error(errno, "listen on", path_.string());
}

ControlServer::~ControlServer() { ::unlink(path_.c_str()); }

void ControlServer::add_to(std::vector<pollfd>& polled) const {
  if (clients_.size() < kMostClients) polled.push_back({listener_.get(), POLLIN, 0});
  for (const Client& client : clients_) {
    short events = client.out.empty() ? POLLIN : POLLOUT;  // one answer at a time
    polled.push_back({client.fd.get(), events, 0});
  }
}

std::string ControlServer::answer(const std::string& line) const {
  nlohmann::json result;
  try {
    nlohmann::json request = nlohmann::json::parse(line);
    if (!request.is_object()) throw os::Error(os::ErrorKind::kInvalid, "request", "is not a JSON object");
    result = handler_(request);
    result["ok"] = true;
  } catch (const os::Error& error) {
    result = {{"ok", false}, {"error", error.sentence()}};
  } catch (const nlohmann::json::exception&) {
    result = {{"ok", false}, {"error", "The request is not a JSON object with the keys it needs."}};
  }
  return result.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void ControlServer::read_from(Client& client) {
  std::array<char, 4096> buffer;
  while (!client.finished) {
    ssize_t got = ::recv(client.fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got > 0) {
      client.in.append(buffer.data(), static_cast<std::size_t>(got));
      if (client.in.size() > kLongestRequest) break;
    } else if (got < 0 && errno == EINTR) {
      continue;
    } else {
      client.finished = got == 0 || errno != EAGAIN;
      break;
    }
  }
}

void ControlServer::serve() {
  while (clients_.size() < kMostClients) {
    os::UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) break;
    clients_.push_back({std::move(fd), "", "", false});
  }
  for (auto client = clients_.begin(); client != clients_.end();) {
    if (client->out.empty()) read_from(*client);
    std::size_t end;
    while (client->out.size() < kMostUnread && (end = client->in.find('\n')) != std::string::npos) {
      std::string line = client->in.substr(0, end);
      client->in.erase(0, end + 1);
      client->out += answer(line);
    }
    bool broken = client->in.size() > kLongestRequest;
    while (!client->out.empty() && !broken) {
      ssize_t put =
          ::send(client->fd.get(), client->out.data(), client->out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (put > 0) {
        client->out.erase(0, static_cast<std::size_t>(put));
      } else if (put < 0 && errno == EINTR) {
        continue;
      } else {
        broken = errno != EAGAIN || client->out.size() > kMostUnread;
        break;
      }
    }
    if (broken || (client->finished && client->out.empty()))
      client = clients_.erase(client);
    else
      ++client;
  }
}

}  // namespace hyper2kvm::daemon
