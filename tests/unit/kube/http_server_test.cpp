#include "operator/kube/http_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runner/os/error.h"

namespace hyper2kvm::kube {
namespace {

std::map<std::string, HttpServer::Handler> handlers() {
  return {{"/healthz",
           [] {
             return HttpReply{200, "text/plain", "ok\n"};
           }},
          {"/readyz",
           [] {
             return HttpReply{503, "text/plain", "not yet\n"};
           }},
          {"/broken", []() -> HttpReply { throw os::Error(os::ErrorKind::kInternal, "x", "is broken"); }},
          {"/large", [] {
             return HttpReply{200, "text/plain", std::string(3u << 20, 'x')};
           }}};
}

std::string answer(const std::string& request) { return answer_request(request + "\r\n\r\n", handlers()); }
std::string status_of(const std::string& reply) { return reply.substr(0, reply.find("\r\n")); }

TEST(HttpServer, AnswersWhatItKnows) {
  EXPECT_EQ(answer("GET /healthz HTTP/1.1"),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nX-Content-Type-Options: "
            "nosniff\r\n"
            "Connection: close\r\n\r\nok\n");
  EXPECT_EQ(status_of(answer("GET /healthz?verbose=1 HTTP/1.0")), "HTTP/1.1 200 OK");
  EXPECT_EQ(status_of(answer("GET /readyz HTTP/1.1")), "HTTP/1.1 503 Service Unavailable");
}

TEST(HttpServer, AHeadHasNoBody) { EXPECT_TRUE(answer("HEAD /healthz HTTP/1.1").ends_with("\r\n\r\n")); }

TEST(HttpServer, RefusesEverythingElse) {
  EXPECT_EQ(status_of(answer("GET / HTTP/1.1")), "HTTP/1.1 404 Not Found");
  EXPECT_EQ(status_of(answer("GET /healthz/../secret HTTP/1.1")), "HTTP/1.1 404 Not Found");
  EXPECT_EQ(status_of(answer("POST /healthz HTTP/1.1")), "HTTP/1.1 405 Method Not Allowed");
  for (const char* request : {"", "GET", "GET /healthz", "GET /healthz FTP/1.1", " ", "GET  ", "\r\n"})
    EXPECT_EQ(status_of(answer(request)), "HTTP/1.1 400 Bad Request") << request;
}

TEST(HttpServer, AHandlerThatFailsIsAnError) {
  EXPECT_EQ(status_of(answer("GET /broken HTTP/1.1")), "HTTP/1.1 500 Internal Server Error");
}

class Caller {
 public:
  explicit Caller(std::uint16_t port, int family = AF_INET) : socket_(::socket(family, SOCK_STREAM, 0)) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    v6.sin6_addr = in6addr_loopback;
    connected = family == AF_INET
                    ? ::connect(socket_.get(), reinterpret_cast<sockaddr*>(&v4), sizeof v4) == 0
                    : ::connect(socket_.get(), reinterpret_cast<sockaddr*>(&v6), sizeof v6) == 0;
  }
  void send(const std::string& text) { ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL); }
  // Until the server closes.
  std::string receive() {
    std::string text;
    char buffer[65536];
    for (ssize_t got; (got = ::recv(socket_.get(), buffer, sizeof buffer, 0)) > 0;)
      text.append(buffer, static_cast<std::size_t>(got));
    return text;
  }
  bool connected = false;

 private:
  os::UniqueFd socket_;
};

TEST(HttpServer, ServesOverTheNetworkWhateverThePiecesOfTheRequest) {
  HttpServer server("127.0.0.1:0", handlers());
  ASSERT_NE(server.port(), 0);
  Caller caller(server.port());
  ASSERT_TRUE(caller.connected);
  for (char c : std::string("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")) caller.send(std::string(1, c));
  EXPECT_TRUE(caller.receive().ends_with("\r\n\r\nok\n"));
}

TEST(HttpServer, ALargeReplyComesWhole) {
  HttpServer server("127.0.0.1:0", handlers());
  Caller caller(server.port());
  caller.send("GET /large HTTP/1.1\r\n\r\n");
  EXPECT_GT(caller.receive().size(), 3u << 20);
}

TEST(HttpServer, AllAddressesMeansBothFamilies) {
  HttpServer server(":0", handlers());
  for (int family : {AF_INET, AF_INET6}) {
    Caller caller(server.port(), family);
    if (family == AF_INET6 && !caller.connected) GTEST_SKIP() << "this machine has no IPv6";
    caller.send("GET /healthz HTTP/1.1\r\n\r\n");
    EXPECT_EQ(status_of(caller.receive()), "HTTP/1.1 200 OK");
  }
}

TEST(HttpServer, ARequestWithoutEndIsCutOff) {
  HttpServer server("127.0.0.1:0", handlers());
  Caller caller(server.port());
  for (int i = 0; i < 20; ++i) caller.send(std::string(1000, 'x'));
  EXPECT_EQ(caller.receive(), "");
}

TEST(HttpServer, CallersThatSayNothingDoNotKeepOthersOut) {
  HttpServer server("127.0.0.1:0", handlers());
  std::vector<std::unique_ptr<Caller>> silent;
  for (int i = 0; i < 100; ++i) silent.push_back(std::make_unique<Caller>(server.port()));
  Caller caller(server.port());
  caller.send("GET /healthz HTTP/1.1\r\n\r\n");
  EXPECT_EQ(status_of(caller.receive()), "HTTP/1.1 200 OK");
}

TEST(HttpServer, EndsThoughSomebodyIsConnected) {
  auto server = std::make_unique<HttpServer>("127.0.0.1:0", handlers());
  Caller caller(server->port());
  caller.send("GET /hea");
  server.reset();
  EXPECT_EQ(caller.receive(), "");
}

TEST(HttpServer, AnAddressThatIsTakenOrNoneIsAnError) {
  HttpServer server("127.0.0.1:0", handlers());
  EXPECT_THROW(HttpServer("127.0.0.1:" + std::to_string(server.port()), handlers()), os::Error);
  for (const char* address : {"", "8080", "127.0.0.1:x", "127.0.0.1:99999999", "[::1:80"})
    EXPECT_THROW(HttpServer(address, handlers()), os::Error) << address;
}

}  // namespace
}  // namespace hyper2kvm::kube
