#include "runner/daemon/control_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "runner/daemon/settings.h"
#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::daemon {
namespace {

using os::Error;
using os::ErrorKind;

}  // namespace

std::filesystem::path control_socket(const std::string& instance) {
  return runtime_directory(instance) / "control.sock";
}

sockaddr_un socket_address(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.string().size() >= sizeof address.sun_path)
    throw Error(ErrorKind::kUsage, path.string(), "is too long for a socket", "Choose a shorter directory.");
  std::memcpy(address.sun_path, path.c_str(), path.string().size() + 1);
  return address;
}

nlohmann::json ask_daemon(const std::filesystem::path& socket, const nlohmann::json& request,
                          std::chrono::seconds limit) {
  sockaddr_un address = socket_address(socket);
  os::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) throw os::system_error(errno, "make", "a socket");
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED)
      throw Error(ErrorKind::kSystem, socket.string(), "nobody listens there: the daemon does not run",
                  "Start it: systemctl start hyper2kvm.service (or hyper2kvm@INSTANCE.service).", errno);
    throw os::system_error(errno, "connect to", socket.string(),
                           errno == EACCES ? "Use sudo, or join the group hyper2kvm." : "");
  }
  std::string line = request.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  for (std::size_t sent = 0; sent < line.size();) {
    ssize_t put = ::send(fd.get(), line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (put < 0 && errno != EINTR) throw os::system_error(errno, "write to", socket.string());
    if (put > 0) sent += static_cast<std::size_t>(put);
  }
  ::shutdown(fd.get(), SHUT_WR);
  std::string text;
  auto deadline = std::chrono::steady_clock::now() + limit;
  std::array<char, 65536> buffer;
  while (true) {
    auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd wait{fd.get(), POLLIN, 0};
    if (left.count() <= 0 || ::poll(&wait, 1, static_cast<int>(left.count())) == 0)
      throw Error(ErrorKind::kSystem, socket.string(), "did not answer in time", "Look at the daemon's log.");
    ssize_t got = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw os::system_error(errno, "read from", socket.string());
    if (got == 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  try {
    nlohmann::json answer = nlohmann::json::parse(text);
    if (answer.at("ok").get<bool>()) return answer;
    throw Error(ErrorKind::kInvalid, "", answer.at("error").get<std::string>());
  } catch (const nlohmann::json::exception&) {
    throw Error(ErrorKind::kSystem, socket.string(), "the answer is not complete",
                "Look at the daemon's log.");
  }
}

}  // namespace hyper2kvm::daemon
