#include "tests/unit/kube/fake_api_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>

namespace hyper2kvm::kube {
namespace {

constexpr std::chrono::seconds kPatience{60};

std::string percent_decode(const std::string& text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      decoded += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

std::string route_of(const ReceivedRequest& request) {
  auto watch = request.query.find("watch");
  return (watch != request.query.end() && watch->second == "true" ? "WATCH" : request.method) + " " +
         request.path;
}

}  // namespace

void Gate::open() {
  std::lock_guard lock(mutex_);
  is_open_ = true;
  changed_.notify_all();
}

bool Gate::wait(const std::function<bool()>& is_over) {
  std::unique_lock lock(mutex_);
  while (!is_open_ && !is_over()) changed_.wait_for(lock, std::chrono::milliseconds(10));
  return is_open_;
}

// --- Answer ---

Answer Answer::json(int status, const Json& body) {
  std::string text = body.dump();
  Answer answer;
  answer.head_ = fmt::format("HTTP/1.1 {} Status\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
                             status, text.size());
  answer.steps_.push_back({Step::Kind::kSend, text, nullptr});
  return answer;
}

Answer Answer::failure(int code, const std::string& reason, const std::string& message) {
  return json(code, {{"kind", "Status"},
                     {"apiVersion", "v1"},
                     {"status", "Failure"},
                     {"reason", reason},
                     {"message", message},
                     {"code", code}});
}

Answer Answer::stream(const std::string& content_type) {
  Answer answer;
  answer.head_ = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: " + content_type + "\r\n";
  return answer;
}

Answer Answer::bytes(const std::string& bytes) {
  Answer answer;
  answer.steps_.push_back({Step::Kind::kSend, bytes, nullptr});
  return answer;
}

Answer& Answer::header(const std::string& name, const std::string& value) {
  headers_.emplace_back(name, value);
  return *this;
}

Answer& Answer::chunk(const std::string& bytes) {
  steps_.push_back({Step::Kind::kSend, fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes), nullptr});
  return *this;
}

Answer& Answer::torn_chunk(const std::string& bytes, std::size_t first_part) {
  std::string whole = fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes);
  std::size_t cut = whole.find('\n') + 1 + first_part;
  steps_.push_back({Step::Kind::kSendAndFlush, whole.substr(0, cut), nullptr});
  steps_.push_back({Step::Kind::kSend, whole.substr(cut), nullptr});
  return *this;
}

Answer& Answer::begun_chunk(const std::string& bytes, std::size_t announced) {
  steps_.push_back({Step::Kind::kSend, fmt::format("{:x}\r\n{}", announced, bytes), nullptr});
  return *this;
}

Answer& Answer::event(const std::string& type, const Json& object) { return chunk(event_line(type, object)); }

Answer& Answer::wait_for(const std::shared_ptr<Gate>& gate) {
  steps_.push_back({Step::Kind::kWait, "", gate});
  return *this;
}

Answer& Answer::end() {
  steps_.push_back({Step::Kind::kSend, "0\r\n\r\n", nullptr});
  return *this;
}

Answer& Answer::cut() {
  steps_.push_back({Step::Kind::kClose, "", nullptr});
  return *this;
}

Answer& Answer::reset() {
  steps_.push_back({Step::Kind::kReset, "", nullptr});
  return *this;
}

// --- TLS ---

struct FakeApiServer::Tls {
  explicit Tls(const ServerTls& settings) : context(SSL_CTX_new(TLS_server_method())) {
    // OpenSSL writes with write(2): a client that hangs up in the handshake would end the whole test program.
    std::signal(SIGPIPE, SIG_IGN);
    BIO* in = BIO_new_mem_buf(settings.certificate_pem.data(), -1);
    X509* certificate = PEM_read_bio_X509(in, nullptr, nullptr, nullptr);
    BIO_free(in);
    in = BIO_new_mem_buf(settings.key_pem.data(), -1);
    EVP_PKEY* key = PEM_read_bio_PrivateKey(in, nullptr, nullptr, nullptr);
    BIO_free(in);
    SSL_CTX_use_certificate(context, certificate);
    SSL_CTX_use_PrivateKey(context, key);
    X509_free(certificate);
    EVP_PKEY_free(key);
    // So that a refused client certificate fails the handshake and not the first read.
    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    if (settings.client_ca_pem.empty()) return;
    in = BIO_new_mem_buf(settings.client_ca_pem.data(), -1);
    X509* authority = PEM_read_bio_X509(in, nullptr, nullptr, nullptr);
    BIO_free(in);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority);
    X509_free(authority);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  ~Tls() { SSL_CTX_free(context); }
  SSL_CTX* context;
};

// --- one connection, one thread ---

class FakeApiServer::Connection {
 public:
  Connection(FakeApiServer& server, int socket, int number)
      : server_(server), socket_(socket), number_(number) {
    int on = 1;
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    thread_ = std::thread([this] { run(); });
  }
  ~Connection() {
    over_ = true;
    {
      std::lock_guard lock(mutex_);
      if (socket_ >= 0) ::shutdown(socket_, SHUT_RDWR);
    }
    thread_.join();
    if (ssl_ != nullptr) SSL_free(ssl_);
    if (socket_ >= 0) ::close(socket_);
  }

 private:
  void run() {
    if (server_.tls_) {
      ssl_ = SSL_new(server_.tls_->context);
      SSL_set_fd(ssl_, socket_);
      if (SSL_accept(ssl_) != 1) {
        close(false);
        return;
      }
    }
    while (auto request = read_request()) {
      server_.note(*request);
      if (!perform(server_.answer_for(*request))) return;
    }
  }

  bool fill() {
    char buffer[16384];
    int got = ssl_ != nullptr ? SSL_read(ssl_, buffer, sizeof buffer)
                              : static_cast<int>(::recv(socket_, buffer, sizeof buffer, 0));
    if (got <= 0) return false;
    pending_.append(buffer, static_cast<std::size_t>(got));
    return true;
  }

  std::optional<ReceivedRequest> read_request() {
    std::size_t end;
    while ((end = pending_.find("\r\n\r\n")) == std::string::npos)
      if (!fill()) return std::nullopt;
    std::string head = pending_.substr(0, end + 2);
    pending_.erase(0, end + 4);
    ReceivedRequest request;
    request.connection = number_;
    std::size_t at = head.find("\r\n");
    std::string line = head.substr(0, at);
    std::size_t space = line.find(' ');
    request.method = line.substr(0, space);
    std::string target = line.substr(space + 1, line.rfind(' ') - space - 1);
    std::size_t mark = target.find('?');
    request.path = target.substr(0, mark);
    if (mark != std::string::npos) {
      std::string query = target.substr(mark + 1) + "&";
      for (std::size_t begin = 0; begin < query.size();) {
        std::size_t stop = query.find('&', begin);
        std::string pair = query.substr(begin, stop - begin);
        std::size_t equals = pair.find('=');
        request.query[pair.substr(0, equals)] = percent_decode(pair.substr(equals + 1));
        begin = stop + 1;
      }
    }
    for (std::size_t begin = at + 2; begin < head.size();) {
      std::size_t stop = head.find("\r\n", begin);
      std::string header = head.substr(begin, stop - begin);
      std::size_t colon = header.find(':');
      std::string name = header.substr(0, colon);
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
      request.headers[name] = header.substr(header.find_first_not_of(' ', colon + 1));
      begin = stop + 2;
    }
    std::size_t length = 0;
    if (auto found = request.headers.find("content-length"); found != request.headers.end())
      length = std::stoul(found->second);
    while (pending_.size() < length)
      if (!fill()) return std::nullopt;
    request.body = pending_.substr(0, length);
    pending_.erase(0, length);
    return request;
  }

  bool send(const std::string& bytes) {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
      int left = static_cast<int>(bytes.size() - sent);
      int put = ssl_ != nullptr ? SSL_write(ssl_, bytes.data() + sent, left)
                                : static_cast<int>(::send(socket_, bytes.data() + sent,
                                                          static_cast<std::size_t>(left), MSG_NOSIGNAL));
      if (put <= 0) return false;
      sent += static_cast<std::size_t>(put);
    }
    return true;
  }

  // Waits until the client's kernel has everything.
  void flush() {
    int waiting = 1;
    while (!over_ && ::ioctl(socket_, SIOCOUTQ, &waiting) == 0 && waiting > 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  void close(bool with_reset) {
    std::lock_guard lock(mutex_);
    linger hard{1, 0};
    if (with_reset) ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    ::close(socket_);
    socket_ = -1;
  }

  // False when the connection is over.
  bool perform(const Answer& answer) {
    std::string head = answer.head_;
    for (const auto& [name, value] : answer.headers_) head += name + ": " + value + "\r\n";
    if (!head.empty()) head += "\r\n";
    bool is_whole = answer.steps_.size() == 1;  // head and body in one write, as servers do
    if (!is_whole && !send(head)) return false;
    for (const Answer::Step& step : answer.steps_) {
      switch (step.kind) {
        case Answer::Step::Kind::kSend:
          if (!send(is_whole ? head + step.bytes : step.bytes)) return false;
          break;
        case Answer::Step::Kind::kSendAndFlush:
          if (!send(step.bytes)) return false;
          flush();
          break;
        case Answer::Step::Kind::kWait:
          if (!step.gate->wait([this] { return over_.load(); })) return false;
          break;
        case Answer::Step::Kind::kClose:
          close(false);
          return false;
        case Answer::Step::Kind::kReset:
          close(true);
          return false;
      }
    }
    return true;
  }

  FakeApiServer& server_;
  std::mutex mutex_;
  int socket_;
  const int number_;
  SSL* ssl_ = nullptr;
  std::atomic<bool> over_ = false;
  std::string pending_;
  std::thread thread_;
};

// --- the server ---

FakeApiServer::FakeApiServer() {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 64) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw std::runtime_error("cannot listen on the loopback address");
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

FakeApiServer::FakeApiServer(const ServerTls& tls) : FakeApiServer() {
  std::lock_guard lock(mutex_);
  tls_ = std::make_unique<Tls>(tls);
}

FakeApiServer::~FakeApiServer() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  connections_.clear();
  ::close(listener_);
}

void FakeApiServer::accept_all() {
  for (int number = 1;; ++number) {
    int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) return;
    std::lock_guard lock(mutex_);
    connections_.push_back(std::make_unique<Connection>(*this, socket, number));
  }
}

void FakeApiServer::on(const std::string& route, Answer answer) {
  std::lock_guard lock(mutex_);
  answers_[route].push_back(std::move(answer));
}

void FakeApiServer::serve(const std::string& route, Handler handler) {
  std::lock_guard lock(mutex_);
  handlers_[route] = std::move(handler);
}

void FakeApiServer::note(const ReceivedRequest& request) {
  std::lock_guard lock(mutex_);
  requests_.emplace_back(route_of(request), request);
  changed_.notify_all();
}

Answer FakeApiServer::answer_for(const ReceivedRequest& request) {
  std::string route = route_of(request);
  Handler handler;
  {
    std::lock_guard lock(mutex_);
    auto& queue = answers_[route];
    if (!queue.empty()) {
      Answer answer = std::move(queue.front());
      queue.pop_front();
      return answer;
    }
    auto found = handlers_.find(route);
    if (found == handlers_.end()) {
      unexpected_.push_back(route);
      return Answer::failure(500, "InternalError", "the test does not expect " + route);
    }
    handler = found->second;
  }
  return handler(request);
}

std::string FakeApiServer::url() const {
  return (tls_ ? "https" : "http") + std::string("://127.0.0.1:") + std::to_string(port_);
}

Config FakeApiServer::config() const {
  Config config;
  config.server = url();
  config.source = "the test";
  return config;
}

Client FakeApiServer::client(Client::Options options) const {
  return Client::connect(config(), std::move(options));
}

std::vector<ReceivedRequest> FakeApiServer::requests() const {
  std::lock_guard lock(mutex_);
  std::vector<ReceivedRequest> all;
  for (const auto& [route, request] : requests_) all.push_back(request);
  return all;
}

std::vector<ReceivedRequest> FakeApiServer::requests(const std::string& route) const {
  std::lock_guard lock(mutex_);
  std::vector<ReceivedRequest> found;
  for (const auto& [of, request] : requests_)
    if (of == route) found.push_back(request);
  return found;
}

ReceivedRequest FakeApiServer::wait_for_request(const std::string& route, std::size_t n) {
  std::unique_lock lock(mutex_);
  auto count = [&] {
    return static_cast<std::size_t>(std::count_if(requests_.begin(), requests_.end(),
                                                  [&](const auto& entry) { return entry.first == route; }));
  };
  if (!changed_.wait_for(lock, kPatience, [&] { return count() >= n; })) {
    ADD_FAILURE() << "request " << n << " of " << route << " did not come";
    return {};
  }
  for (const auto& [of, request] : requests_)
    if (of == route && --n == 0) return request;
  return {};
}

std::vector<std::string> FakeApiServer::unexpected() const {
  std::lock_guard lock(mutex_);
  return unexpected_;
}

// --- objects ---

Json object(const std::string& name, const std::string& resource_version, const std::string& name_space) {
  return {{"apiVersion", "v1"},
          {"kind", "ConfigMap"},
          {"metadata",
           {{"name", name},
            {"namespace", name_space},
            {"resourceVersion", resource_version},
            {"uid", "uid-" + name}}}};
}

Json list_of(const std::vector<Json>& items, const std::string& resource_version,
             const std::string& continue_token) {
  Json list = {{"kind", "ConfigMapList"},
               {"apiVersion", "v1"},
               {"metadata", {{"resourceVersion", resource_version}}},
               {"items", Json::array()}};
  if (!continue_token.empty()) list["metadata"]["continue"] = continue_token;
  for (Json item : items) {
    item.erase("apiVersion");
    item.erase("kind");
    list["items"].push_back(std::move(item));
  }
  return list;
}

std::string event_line(const std::string& type, const Json& object) {
  return Json{{"type", type}, {"object", object}}.dump() + "\n";
}

}  // namespace hyper2kvm::kube
