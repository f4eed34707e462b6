// The control socket: one JSON object a line in, one a line out.
//
//   {"command": "show", "job": "20260131-235959-123456-7f"}
//   {"ok": true, "job": {...}}       or   {"ok": false, "error": "a sentence"}
//
// A stream socket with mode 0660: who may open it may command the daemon. Answers may be of any size; a
// client that does not read is only its own problem, until it leaves 64 MiB unread and is cut off. Commands
// are in docs/daemon.md. Driven by the daemon's loop; nothing blocks. Not thread-safe. Throws os::Error.
#pragma once

#include <poll.h>

#include <filesystem>
#include <functional>
#include <list>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "runner/os/file.h"

namespace hyper2kvm::daemon {

class ControlServer {
 public:
  // Answers one request; what it throws becomes an answer with "ok": false.
  using Handler = std::function<nlohmann::json(const nlohmann::json& request)>;

  // Replaces a socket that a dead daemon left; refuses where a living one answers.
  ControlServer(std::filesystem::path path, Handler handler);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  const std::filesystem::path& path() const { return path_; }
  // Adds what is to be polled.
  void add_to(std::vector<pollfd>& polled) const;
  // After the poll: accepts, reads, answers, writes.
  void serve();

 private:
  struct Client {
    os::UniqueFd fd;
    std::string in, out;
    bool finished = false;  // it has said all it will say
  };
  void read_from(Client& client);
  std::string answer(const std::string& line) const;

  std::filesystem::path path_;
  Handler handler_;
  os::UniqueFd listener_;
  std::list<Client> clients_;
};

}  // namespace hyper2kvm::daemon
