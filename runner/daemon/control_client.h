// The other end of the control socket, for hyperctl. Thread-safe: every call has a connection of its own.
#pragma once

#include <sys/un.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>

namespace hyper2kvm::daemon {

// Where an instance listens: control.sock in its runtime directory.
std::filesystem::path control_socket(const std::string& instance);
// Throws os::Error where the path is longer than an address holds.
sockaddr_un socket_address(const std::filesystem::path& path);

// Sends one request and returns the answer's object. Throws os::Error: nobody listens, no permission, no
// answer in time, or the sentence of an answer with "ok": false.
nlohmann::json ask_daemon(const std::filesystem::path& socket, const nlohmann::json& request,
                          std::chrono::seconds limit = std::chrono::seconds(30));

}  // namespace hyper2kvm::daemon
