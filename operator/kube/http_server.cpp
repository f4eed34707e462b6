#include "operator/kube/http_server.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <list>
#include <memory>

#include "runner/os/error.h"

namespace hyper2kvm::kube {
namespace {

using os::Error;
using os::ErrorKind;
using SteadyTime = std::chrono::steady_clock::time_point;

constexpr std::size_t kConnectionLimit = 32;
constexpr std::size_t kRequestLimit = 8192;
constexpr std::chrono::seconds kConnectionTime{5};

struct HostAndPort {
  std::string host;  // empty: all addresses
  std::string port;
};

HostAndPort split(const std::string& address) {
  std::size_t colon = address.rfind(':');
  if (colon == std::string::npos)
    throw Error(ErrorKind::kUsage, address, "is not an address to listen on",
                "Write it as :8080 or HOST:8080.");
  HostAndPort parts{address.substr(0, colon), address.substr(colon + 1)};
  unsigned number = 0;
  auto [end, failed] = std::from_chars(parts.port.data(), parts.port.data() + parts.port.size(), number);
  if (failed != std::errc() || end != parts.port.data() + parts.port.size() || number > 65535)
    throw Error(ErrorKind::kUsage, address, "has no port number", "Write it as :8080 or HOST:8080.");
  if (parts.host.starts_with('[') && parts.host.ends_with(']'))
    parts.host = parts.host.substr(1, parts.host.size() - 2);
  return parts;
}

os::UniqueFd listen_on(const addrinfo& place) {
  os::UniqueFd socket(::socket(place.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return {};
  int on = 1, off = 0;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // One socket for both families.
  if (place.ai_family == AF_INET6) ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (::bind(socket.get(), place.ai_addr, place.ai_addrlen) != 0 || ::listen(socket.get(), 64) != 0)
    return {};
  return socket;
}

os::UniqueFd open_listener(const std::string& address) {
  HostAndPort parts = split(address);
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (::getaddrinfo(parts.host.empty() ? nullptr : parts.host.c_str(), parts.port.c_str(), &wanted, &found) !=
      0)
    throw Error(ErrorKind::kUsage, address, "is not an address to listen on",
                "Write it as :8080 or HOST:8080.");
  std::unique_ptr<addrinfo, void (*)(addrinfo*)> places(found, ::freeaddrinfo);
  int problem = 0;
  // IPv6 first: without a host it takes IPv4 as well.
  for (int family : {AF_INET6, AF_INET})
    for (addrinfo* place = found; place != nullptr; place = place->ai_next) {
      if (place->ai_family != family) continue;
      if (os::UniqueFd socket = listen_on(*place)) return socket;
      problem = errno;
    }
  throw os::system_error(problem, "listen on", address);
}

std::uint16_t port_of(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  // The port is at the same place in both families.
  return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

std::string_view phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 503:
      return "Service Unavailable";
    default:
      return "Internal Server Error";
  }
}

std::string to_text(const HttpReply& reply, bool with_body) {
  std::string text = "HTTP/1.1 " + std::to_string(reply.status) + " " + std::string(phrase(reply.status)) +
                     "\r\nContent-Type: " + reply.content_type +
                     "\r\nContent-Length: " + std::to_string(reply.body.size()) +
                     "\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n";
  return with_body ? text + reply.body : text;
}

}  // namespace

std::string answer_request(const std::string& request,
                           const std::map<std::string, HttpServer::Handler>& handlers) {
  std::string line = request.substr(0, request.find("\r\n"));
  std::size_t first = line.find(' '), second = line.rfind(' ');
  if (first == std::string::npos || second == first || line.compare(second + 1, 7, "HTTP/1.") != 0)
    return to_text({400, {}, "bad request\n"}, true);
  std::string method = line.substr(0, first);
  if (method != "GET" && method != "HEAD") return to_text({405, "text/plain", "only GET\n"}, true);
  std::string path = line.substr(first + 1, second - first - 1);
  auto handler = handlers.find(path.substr(0, path.find('?')));
  if (handler == handlers.end()) return to_text({404, "text/plain", "not found\n"}, method == "GET");
  HttpReply reply;
  try {
    reply = handler->second();
  } catch (const std::exception& error) {
    reply = {500, "text/plain; charset=utf-8", std::string(error.what()) + "\n"};
  }
  return to_text(reply, method == "GET");
}

// The connections, each reading its request or writing its answer.
class HttpServer::Loop {
 public:
  Loop(int listener, int wake, const std::map<std::string, Handler>& handlers)
      : listener_(listener), wake_(wake), handlers_(handlers) {}

  void run() {
    while (true) {
      std::vector<pollfd> waits{{wake_, POLLIN, 0}, {listener_, POLLIN, 0}};
      for (const Connection& connection : connections_)
        waits.push_back({connection.socket.get(), short(connection.answer.empty() ? POLLIN : POLLOUT), 0});
      ::poll(waits.data(), waits.size(), connections_.empty() ? -1 : 500);
      if (waits[0].revents != 0) return;
      auto now = std::chrono::steady_clock::now();
      std::size_t index = 2;
      for (auto at = connections_.begin(); at != connections_.end(); ++index) {
        bool keep = now < at->deadline;
        if (keep && waits[index].revents != 0) keep = at->answer.empty() ? read(*at) : write(*at);
        at = keep ? std::next(at) : connections_.erase(at);
      }
      if (waits[1].revents != 0) accept(now);
    }
  }

 private:
  struct Connection {
    os::UniqueFd socket;
    SteadyTime deadline;
    std::string request;
    std::string answer;  // what is left of it
  };

  void accept(SteadyTime now) {
    os::UniqueFd socket(::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
      if (errno != EMFILE && errno != ENFILE) return;
      // The caller stays in the listener's queue, so poll would return at once: a pause, and room.
      if (!connections_.empty()) connections_.pop_front();
      pollfd wake{wake_, POLLIN, 0};
      ::poll(&wake, 1, 100);
      return;
    }
    if (connections_.size() == kConnectionLimit) connections_.pop_front();
    connections_.push_back({std::move(socket), now + kConnectionTime, "", ""});
  }

  // Both return whether the connection goes on.
  bool read(Connection& connection) {
    char buffer[2048];
    ssize_t got = ::recv(connection.socket.get(), buffer, sizeof buffer, 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    connection.request.append(buffer, static_cast<std::size_t>(got));
    if (connection.request.size() > kRequestLimit) return false;
    if (connection.request.find("\r\n\r\n") == std::string::npos) return true;
    connection.answer = answer_request(connection.request, handlers_);
    return write(connection);
  }

  bool write(Connection& connection) {
    ssize_t sent =
        ::send(connection.socket.get(), connection.answer.data(), connection.answer.size(), MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    connection.answer.erase(0, static_cast<std::size_t>(sent));
    return !connection.answer.empty();
  }

  const int listener_;
  const int wake_;
  const std::map<std::string, Handler>& handlers_;
  std::list<Connection> connections_;  // the oldest first
};

HttpServer::HttpServer(const std::string& address, std::map<std::string, Handler> handlers)
    : listener_(open_listener(address)),
      port_(port_of(listener_.get())),
      handlers_(std::move(handlers)),
      wake_(os::make_pipe()),
      thread_([this] { Loop(listener_.get(), wake_.read_end.get(), handlers_).run(); }) {}

HttpServer::~HttpServer() {
  wake_.write_end.reset();  // which the loop sees as the end of the pipe
  thread_.join();
}

}  // namespace hyper2kvm::kube
