// A very small HTTP server for the kubelet's probes and Prometheus: GET on a few fixed paths, nothing else.
//
// Anybody in the cluster may reach its port, so everything about a connection is bounded: 32 connections (a
// new one pushes the oldest out), 8 KiB of request, 5 seconds. One thread, one answer a connection, IPv4 and
// IPv6. (cpprestsdk's listener reads headers without a bound; Debian's civetweb has no IPv6.)
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <thread>

#include "runner/os/file.h"

namespace hyper2kvm::kube {

struct HttpReply {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

class HttpServer {
 public:
  // Called on the server's thread. What it throws becomes a 500.
  using Handler = std::function<HttpReply()>;

  // address: ":8080" (all addresses), "127.0.0.1:8080", "[::1]:8080"; port 0 takes a free one. Serves from
  // now on. Throws os::Error when it cannot listen there.
  HttpServer(const std::string& address, std::map<std::string, Handler> handlers);
  // Ends at once.
  ~HttpServer();

  std::uint16_t port() const { return port_; }

 private:
  class Loop;
  os::UniqueFd listener_;
  std::uint16_t port_ = 0;
  std::map<std::string, Handler> handlers_;
  os::Pipe wake_;
  std::thread thread_;
};

// The reply to a request's text, which is complete up to its empty line. For HttpServer and tests.
std::string answer_request(const std::string& request,
                           const std::map<std::string, HttpServer::Handler>& handlers);

}  // namespace hyper2kvm::kube
