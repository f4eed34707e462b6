// An API server that says what a test tells it to, over real sockets on the loopback address, so that what is
// tested includes cpprestsdk and OpenSSL. It does what a real server seldom does: answers that break off,
// split in odd places, come late, or are refused.
//
// A route is a method and a path ("GET /api/v1/pods"), where a GET with watch=true is a route of its own
// ("WATCH /api/v1/pods"). Each route has a queue of answers; a request that finds none is answered with 500
// and noted as unexpected.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "operator/kube/client.h"

namespace hyper2kvm::kube {

// Something that the server waits for until the test lets it pass.
class Gate {
 public:
  void open();
  // False when the server is going away instead.
  bool wait(const std::function<bool()>& is_over);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_open_ = false;
};

struct ReceivedRequest {
  std::string method;
  std::string path;
  std::map<std::string, std::string> query;    // decoded
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  int connection = 0;  // counted from 1
};

// What the server does with one request, step by step.
class Answer {
 public:
  static Answer json(int status, const Json& body);
  // A meta/v1 Status.
  static Answer failure(int code, const std::string& reason, const std::string& message = "");
  // 200 with a body of chunks; ends with end(), cut() or reset(), else it stays open.
  static Answer stream(const std::string& content_type = "application/json");
  // Exactly these bytes instead of an answer.
  static Answer bytes(const std::string& bytes);

  Answer& header(const std::string& name, const std::string& value);
  // One chunk, written at once.
  Answer& chunk(const std::string& bytes);
  // One chunk whose bytes reach the client in two parts.
  Answer& torn_chunk(const std::string& bytes, std::size_t first_part);
  // The beginning of a chunk that should have had more bytes.
  Answer& begun_chunk(const std::string& bytes, std::size_t announced);
  // One event of a watch, as a chunk.
  Answer& event(const std::string& type, const Json& object);
  Answer& wait_for(const std::shared_ptr<Gate>& gate);
  Answer& end();    // the last chunk; the connection stays usable
  Answer& cut();    // closes the connection
  Answer& reset();  // closes it with a TCP reset

 private:
  friend class FakeApiServer;
  struct Step {
    enum class Kind { kSend, kSendAndFlush, kWait, kClose, kReset } kind;
    std::string bytes;
    std::shared_ptr<Gate> gate;
  };
  std::string head_;
  std::vector<std::pair<std::string, std::string>> headers_;
  std::vector<Step> steps_;
};

struct ServerTls {
  std::string certificate_pem;
  std::string key_pem;
  // Clients must show a certificate of this authority; empty: none.
  std::string client_ca_pem;
};

class FakeApiServer {
 public:
  FakeApiServer();
  explicit FakeApiServer(const ServerTls& tls);
  ~FakeApiServer();

  using Handler = std::function<Answer(const ReceivedRequest&)>;
  // The next answer of this route.
  void on(const std::string& route, Answer answer);
  // All answers of this route, once its queue is empty.
  void serve(const std::string& route, Handler handler);

  // "http://127.0.0.1:PORT"
  std::string url() const;
  Config config() const;
  Client client(Client::Options options = {}) const;

  std::vector<ReceivedRequest> requests() const;
  std::vector<ReceivedRequest> requests(const std::string& route) const;
  // Waits for the n-th request of a route (from 1) and returns it; fails the test after a minute.
  ReceivedRequest wait_for_request(const std::string& route, std::size_t n);
  std::vector<std::string> unexpected() const;

 private:
  class Connection;
  struct Tls;
  void accept_all();
  Answer answer_for(const ReceivedRequest& request);
  void note(const ReceivedRequest& request);

  std::unique_ptr<Tls> tls_;
  int listener_ = -1;
  unsigned short port_ = 0;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool stopping_ = false;
  std::map<std::string, std::deque<Answer>> answers_;
  std::map<std::string, Handler> handlers_;
  std::vector<std::pair<std::string, ReceivedRequest>> requests_;
  std::vector<std::string> unexpected_;
  std::list<std::unique_ptr<Connection>> connections_;
  std::thread acceptor_;
};

// --- objects for tests ---
Json object(const std::string& name, const std::string& resource_version,
            const std::string& name_space = "default");
Json list_of(const std::vector<Json>& items, const std::string& resource_version,
             const std::string& continue_token = "");
// One line of a watch.
std::string event_line(const std::string& type, const Json& object);

}  // namespace hyper2kvm::kube
