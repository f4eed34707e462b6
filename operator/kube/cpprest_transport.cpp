#include "operator/kube/cpprest_transport.h"

#include <arpa/inet.h>
#include <cpprest/http_client.h>
#include <netinet/tcp.h>
#include <pplx/threadpool.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>

#include "operator/kube/body_pipe.h"
#include "operator/kube/tls_context.h"
#include "runner/os/error.h"

namespace hyper2kvm::kube {
namespace {

using os::Error;
using os::ErrorKind;
namespace http = web::http;
using Socket = boost::asio::ip::tcp::socket;

// A peer that vanished without a word (a node that lost power) is noticed after 30 + 3 * 10 seconds, and not
// only when a watch's time is over.
void keep_alive(Socket& socket) {
  int descriptor = socket.native_handle();
  auto set = [descriptor](int level, int name, int value) {
    ::setsockopt(descriptor, level, name, &value, sizeof value);  // without them it works as well, only later
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 30);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 60000);
}

// What one request and its answer share between our thread and cpprestsdk's.
struct Exchange {
  struct PipeBuffer : Concurrency::streams::streambuf<std::uint8_t> {
    explicit PipeBuffer(const std::shared_ptr<BodyPipe>& pipe) : streambuf(pipe) {}
  };
  const std::shared_ptr<BodyPipe> pipe = std::make_shared<BodyPipe>();
  pplx::cancellation_token_source cancellation;

  std::mutex mutex;
  std::condition_variable_any changed;
  std::optional<HttpAnswer> head;
  std::exception_ptr error;

  void set_head(HttpAnswer answer) {
    std::lock_guard lock(mutex);
    head = std::move(answer);
    changed.notify_all();
  }
  void fail(std::exception_ptr cause) {
    std::lock_guard lock(mutex);
    error = std::move(cause);
    changed.notify_all();
  }
  void give_up() {
    pipe->abandon();
    cancellation.cancel();
  }
};

class CpprestTransport final : public Transport, public std::enable_shared_from_this<CpprestTransport> {
 public:
  CpprestTransport(const Config& config, std::chrono::seconds idle_limit)
      : refusal_(std::make_shared<TlsRefusal>()), client_(make_client(config, idle_limit)) {
    const web::uri& server = client_.base_uri();
    int port = server.port() > 0 ? server.port() : server.scheme() == "https" ? 443 : 80;
    host_ = server.host() + ":" + std::to_string(port);
  }

  HttpAnswer send(const HttpRequest& request, std::chrono::milliseconds patience,
                  const std::stop_token& stop) override;
  std::string host() const override { return host_; }

  // The os::Error for what cpprestsdk threw.
  [[noreturn]] void rethrow(const std::exception_ptr& error) const;

 private:
  http::client::http_client make_client(const Config& config, std::chrono::seconds idle_limit) const;

  // Shared with the connections, which may outlive this.
  std::shared_ptr<TlsRefusal> refusal_;
  http::client::http_client client_;
  std::string host_;
};

class CpprestBody final : public HttpBody {
 public:
  CpprestBody(std::shared_ptr<Exchange> exchange, std::shared_ptr<const CpprestTransport> transport)
      : exchange_(std::move(exchange)), transport_(std::move(transport)) {}
  ~CpprestBody() override {
    if (!ended_) exchange_->give_up();
  }

  bool read(std::string& into, std::chrono::milliseconds patience, const std::stop_token& stop) override {
    if (ended_) return false;
    BodyPipe::Outcome outcome;
    try {
      outcome = exchange_->pipe->read(into, patience, stop);
    } catch (...) {
      ended_ = true;
      transport_->rethrow(std::current_exception());
    }
    switch (outcome) {
      case BodyPipe::Outcome::kBytes:
        return true;
      case BodyPipe::Outcome::kEnd:
        ended_ = true;
        return false;
      case BodyPipe::Outcome::kStopped:
        throw Error(ErrorKind::kCancelled, transport_->host(),
                    "the request was given up: this program stops");
      case BodyPipe::Outcome::kTimeout:
        break;
    }
    throw Error(ErrorKind::kSystem, transport_->host(),
                "sent nothing for " + std::to_string(patience.count()) + " ms", "", ETIMEDOUT);
  }

 private:
  std::shared_ptr<Exchange> exchange_;
  std::shared_ptr<const CpprestTransport> transport_;
  bool ended_ = false;
};

http::client::http_client CpprestTransport::make_client(const Config& config,
                                                        std::chrono::seconds idle_limit) const {
  http::client::http_client_config settings;
  settings.set_timeout(idle_limit);
  settings.set_max_redirects(0);
  settings.set_validate_certificates(!config.tls.insecure_skip_verify);
  bool secure = config.server.rfind("https://", 0) == 0;
  try {
    web::uri server(config.server);
    in_addr ignored{};
    bool is_ipv4 = ::inet_pton(AF_INET, server.host().c_str(), &ignored) == 1;
    // Called before each request. A connection that is new has no socket yet; where the address says of which
    // family it will be, it can be made here.
    settings.set_nativehandle_options([secure, is_ipv4](http::client::native_handle handle) {
      Socket& socket = secure ? static_cast<boost::asio::ssl::stream<Socket&>*>(handle)->next_layer()
                              : *static_cast<Socket*>(handle);
      boost::system::error_code failed;
      if (!socket.is_open() && is_ipv4) socket.open(boost::asio::ip::tcp::v4(), failed);
      if (socket.is_open()) keep_alive(socket);
    });
    settings.set_ssl_context_callback(
        [tls = config.tls, refusal = refusal_](boost::asio::ssl::context& context) {
          set_up(context.native_handle(), tls, refusal.get());
        });
    return http::client::http_client(server, settings);
  } catch (const std::exception& error) {
    throw Error(ErrorKind::kUsage, config.source,
                "names the server \"" + config.server + "\": " + error.what(),
                "Correct the cluster's server.");
  }
}

void CpprestTransport::rethrow(const std::exception_ptr& error) const {
  try {
    std::rethrow_exception(error);
  } catch (const Error&) {
    throw;  // from set_up
  } catch (const http::http_exception& failure) {
    std::string refused = refusal_->take();
    if (!refused.empty() && std::string_view(failure.what()).find("SSL handshake") != std::string_view::npos)
      throw Error(ErrorKind::kInvalid, host_, "shows a certificate that is refused: " + refused,
                  "Give the CA bundle of this cluster, and a server name that its certificate carries.");
    throw Error(ErrorKind::kSystem, host_, std::string("the connection failed: ") + failure.what(), "",
                failure.error_code().value());
  } catch (const std::exception& failure) {
    throw Error(ErrorKind::kSystem, host_, std::string("the connection failed: ") + failure.what());
  }
}

HttpAnswer read_head(const http::http_response& response) {
  HttpAnswer answer;
  answer.status = response.status_code();
  for (const auto& [name, value] : response.headers()) {
    std::string lower = name;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c); });
    answer.headers[lower] = value;
  }
  return answer;
}

// Every task's exception must be looked at by somebody, or cpprestsdk ends the process.
void finish_pipe(const http::http_response& response, const std::shared_ptr<BodyPipe>& pipe) {
  response.content_ready().then([pipe](const pplx::task<http::http_response>& done) {
    try {
      done.get();
      pipe->finish(nullptr);
    } catch (...) {
      pipe->finish(std::current_exception());
    }
  });
}

HttpAnswer CpprestTransport::send(const HttpRequest& request, std::chrono::milliseconds patience,
                                  const std::stop_token& stop) {
  auto exchange = std::make_shared<Exchange>();
  try {
    http::http_request message(request.method);
    message.set_request_uri(web::uri(request.target));
    std::string content_type = "application/json";
    for (const auto& [name, value] : request.headers) {
      if (name == "Content-Type")
        content_type = value;
      else
        message.headers().add(name, value);
    }
    if (!request.body.empty()) message.set_body(request.body, content_type);
    message.set_response_stream(
        Concurrency::streams::basic_ostream<std::uint8_t>(Exchange::PipeBuffer(exchange->pipe)));
    client_.request(message, exchange->cancellation.get_token())
        .then([exchange](const pplx::task<http::http_response>& sent) {
          try {
            http::http_response response = sent.get();
            exchange->set_head(read_head(response));
            finish_pipe(response, exchange->pipe);
          } catch (...) {
            exchange->fail(std::current_exception());
          }
        });
  } catch (...) {
    rethrow(std::current_exception());
  }

  std::unique_lock lock(exchange->mutex);
  bool ready =
      exchange->changed.wait_for(lock, stop, patience, [&] { return exchange->head || exchange->error; });
  if (exchange->error) rethrow(exchange->error);
  if (!ready) {
    lock.unlock();
    exchange->give_up();
    if (stop.stop_requested())
      throw Error(ErrorKind::kCancelled, host_, "the request was given up: this program stops");
    throw Error(ErrorKind::kSystem, host_,
                "did not answer within " + std::to_string(patience.count()) + " ms", "", ETIMEDOUT);
  }
  HttpAnswer answer = std::move(*exchange->head);
  lock.unlock();
  answer.body = std::make_unique<CpprestBody>(exchange, shared_from_this());
  return answer;
}

}  // namespace

void use_few_threads() {
  static std::once_flag once;
  std::call_once(once, [] {
    try {
      crossplat::threadpool::initialize_with_threads(2);
    } catch (const std::exception&) {
      // The program has chosen a number itself.
    }
  });
}

std::shared_ptr<Transport> make_cpprest_transport(const Config& config, std::chrono::seconds idle_limit) {
  use_few_threads();
  return std::make_shared<CpprestTransport>(config, idle_limit);
}

}  // namespace hyper2kvm::kube
