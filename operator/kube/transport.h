// One HTTP exchange with the API server: the edge that tests bend.
//
// An answer's body is a stream in every case: a watch's lines must be seen as they come, and a large list
// need not be held twice. What is behind this interface is cpprestsdk (cpprest_transport.h); a test may
// decorate it to lose an answer, or to end the process between two writes.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace hyper2kvm::kube {

struct HttpRequest {
  std::string method;
  // Path and query, percent-encoded.
  std::string target;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

// Not thread-safe. Destroying it before its end closes the connection.
class HttpBody {
 public:
  virtual ~HttpBody() = default;
  // Appends at least one byte to `into` and returns true, or returns false at the end of the body. Waits for
  // at most `patience`. Throws os::Error: kSystem when nothing came in that time or the connection broke
  // before the body's end, kCancelled when the stop was requested.
  virtual bool read(std::string& into, std::chrono::milliseconds patience, const std::stop_token& stop) = 0;
};

struct HttpAnswer {
  int status = 0;
  // Names in lower case.
  std::map<std::string, std::string> headers;
  std::unique_ptr<HttpBody> body;
};

// Safe to call from any thread.
class Transport {
 public:
  virtual ~Transport() = default;
  // Sends and waits until the answer's headers are there, at most `patience`. Throws os::Error: kSystem when
  // the server cannot be reached or does not answer in time, kInvalid when it is not the server that it
  // should be (TLS), kCancelled when the stop was requested. An answer of any status is an answer, not an
  // error. Redirections are not followed: credentials go to the configured server only.
  virtual HttpAnswer send(const HttpRequest& request, std::chrono::milliseconds patience,
                          const std::stop_token& stop) = 0;
  // "10.0.0.1:443", for metrics and messages.
  virtual std::string host() const = 0;
};

}  // namespace hyper2kvm::kube
