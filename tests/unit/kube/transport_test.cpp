// The transport over real sockets: what arrives when, and what becomes of what does not.
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "operator/kube/cpprest_transport.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "tests/unit/kube/fake_api_server.h"
#include "tests/unit/kube/test_certificates.h"

namespace hyper2kvm::kube {
namespace {

using os::ErrorKind;
using std::chrono::milliseconds;

constexpr milliseconds kLong{60000};

const HttpRequest kGet{"GET", "/version", {}, ""};

std::string read_all(HttpBody& body) {
  std::string text;
  while (body.read(text, kLong, {})) {
  }
  return text;
}

// The kind and sentence of what a call throws.
struct Failure {
  ErrorKind kind = ErrorKind::kInternal;
  std::string sentence;
};
Failure failure_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const os::Error& error) {
    return {error.kind(), error.sentence()};
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

TEST(Transport, SendsARequestAndReadsItsAnswer) {
  FakeApiServer server;
  server.on("POST /base/things", Answer::json(201, {{"a", 1}}).header("X-Thing", "Yes"));
  Config config = server.config();
  config.server += "/base";
  auto transport = make_cpprest_transport(config);
  HttpAnswer answer = transport->send({"POST",
                                       "/things?x=a%2Fb%26c",
                                       {{"Content-Type", "application/yaml"}, {"Authorization", "Bearer t"}},
                                       "body"},
                                      kLong, {});
  EXPECT_EQ(answer.status, 201);
  EXPECT_EQ(answer.headers["x-thing"], "Yes");
  EXPECT_EQ(read_all(*answer.body), R"({"a":1})");
  ReceivedRequest request = server.requests().at(0);
  EXPECT_EQ(request.query["x"], "a/b&c");
  EXPECT_EQ(request.headers["content-type"], "application/yaml");
  EXPECT_EQ(request.headers["authorization"], "Bearer t");
  EXPECT_EQ(request.body, "body");
}

TEST(Transport, UsesAConnectionAgain) {
  FakeApiServer server;
  auto transport = make_cpprest_transport(server.config());
  for (int i = 0; i < 3; ++i) {
    server.on("GET /version", Answer::json(200, {{"i", i}}));
    HttpAnswer answer = transport->send(kGet, kLong, {});
    EXPECT_EQ(read_all(*answer.body), Json({{"i", i}}).dump());
  }
  EXPECT_EQ(server.requests().back().connection, 1);
}

TEST(Transport, ComesBackOnANewConnectionWhenTheOldOneWasClosedInBetween) {
  FakeApiServer server;
  auto transport = make_cpprest_transport(server.config());
  server.on("GET /version", Answer::json(200, {}).cut());
  read_all(*transport->send(kGet, kLong, {}).body);
  server.on("GET /version", Answer::json(200, {{"again", true}}));
  EXPECT_EQ(read_all(*transport->send(kGet, kLong, {}).body), R"({"again":true})");
}

TEST(Transport, PiecesOfABodyArriveAsTheyAreSent) {
  FakeApiServer server;
  auto gate = std::make_shared<Gate>();
  server.on("GET /version", Answer::stream().chunk("first ").wait_for(gate).chunk("second").end());
  auto transport = make_cpprest_transport(server.config());
  HttpAnswer answer = transport->send(kGet, kLong, {});
  std::string text;
  ASSERT_TRUE(answer.body->read(text, kLong, {}));
  EXPECT_EQ(text, "first ");
  gate->open();
  EXPECT_EQ(read_all(*answer.body), "second");
}

TEST(Transport, ABodyOfManyMegabytesComesWhole) {
  FakeApiServer server;
  std::string big;
  for (int i = 0; big.size() < (6u << 20); ++i) big += std::to_string(i) + ",";
  server.on("GET /version", Answer::stream().chunk(big).chunk(big.substr(0, 100000)).end());
  auto transport = make_cpprest_transport(server.config());
  EXPECT_EQ(read_all(*transport->send(kGet, kLong, {}).body), big + big.substr(0, 100000));
}

TEST(Transport, AnEmptyAnswerHasAnEmptyBody) {
  FakeApiServer server;
  server.on("GET /version", Answer::bytes("HTTP/1.1 204 No Content\r\n\r\n"));
  auto transport = make_cpprest_transport(server.config());
  HttpAnswer answer = transport->send(kGet, kLong, {});
  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(read_all(*answer.body), "");
}

TEST(Transport, ABodyThatBreaksOffIsAnErrorThatMayPass) {
  struct {
    const char* name;
    Answer answer;
  } cases[] = {{"closed between chunks", Answer::stream().chunk("some").cut()},
               {"closed inside a chunk", Answer::stream().begun_chunk("some", 1000).cut()},
               {"reset", Answer::stream().chunk("some").reset()},
               {"too short", Answer::bytes("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome").cut()}};
  for (auto& one : cases) {
    FakeApiServer server;
    server.on("GET /version", one.answer);
    auto transport = make_cpprest_transport(server.config());
    Failure failure = failure_of([&] { read_all(*transport->send(kGet, kLong, {}).body); });
    EXPECT_EQ(failure.kind, ErrorKind::kSystem) << one.name;
    EXPECT_NE(failure.sentence.find(transport->host()), std::string::npos) << failure.sentence;
  }
}

TEST(Transport, AnAnswerThatIsNoHttpIsAnErrorThatMayPass) {
  for (const char* bytes : {"SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1\r\n\r\n", "\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n"}) {
    FakeApiServer server;
    server.on("GET /version", Answer::bytes(bytes).cut());
    auto transport = make_cpprest_transport(server.config());
    Failure failure = failure_of([&] { read_all(*transport->send(kGet, kLong, {}).body); });
    EXPECT_EQ(failure.kind, ErrorKind::kSystem) << bytes;
  }
}

TEST(Transport, AServerThatDoesNotAnswerIsGivenUp) {
  FakeApiServer server;
  auto gate = std::make_shared<Gate>();
  server.on("GET /version", Answer::bytes("").wait_for(gate));
  auto transport = make_cpprest_transport(server.config());
  Failure failure = failure_of([&] { transport->send(kGet, milliseconds(20), {}); });
  EXPECT_EQ(failure.kind, ErrorKind::kSystem);
  EXPECT_NE(failure.sentence.find("did not answer within 20 ms"), std::string::npos) << failure.sentence;
}

TEST(Transport, ABodyThatStopsComingIsGivenUp) {
  FakeApiServer server;
  auto gate = std::make_shared<Gate>();
  server.on("GET /version", Answer::stream().chunk("some").wait_for(gate));
  auto transport = make_cpprest_transport(server.config());
  HttpAnswer answer = transport->send(kGet, kLong, {});
  std::string text;
  ASSERT_TRUE(answer.body->read(text, kLong, {}));
  EXPECT_EQ(failure_of([&] { answer.body->read(text, milliseconds(20), {}); }).kind, ErrorKind::kSystem);
}

TEST(Transport, AStopEndsWhatWaits) {
  FakeApiServer server;
  auto gate = std::make_shared<Gate>();
  server.on("GET /version", Answer::bytes("").wait_for(gate));
  server.on("GET /body", Answer::stream().chunk("some").wait_for(gate));
  auto transport = make_cpprest_transport(server.config());
  {
    std::stop_source stop;
    std::jthread stopper([&] {
      server.wait_for_request("GET /version", 1);
      stop.request_stop();
    });
    EXPECT_EQ(failure_of([&] { transport->send(kGet, kLong, stop.get_token()); }).kind,
              ErrorKind::kCancelled);
  }
  std::stop_source stop;
  HttpAnswer answer = transport->send({"GET", "/body", {}, ""}, kLong, stop.get_token());
  std::string text;
  ASSERT_TRUE(answer.body->read(text, kLong, stop.get_token()));
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_EQ(failure_of([&] { answer.body->read(text, kLong, stop.get_token()); }).kind,
            ErrorKind::kCancelled);
}

TEST(Transport, ABodyThatNobodyReadsToItsEndClosesItsConnection) {
  FakeApiServer server;
  auto gate = std::make_shared<Gate>();
  server.on("GET /version", Answer::stream().chunk("some").wait_for(gate));
  server.on("GET /version", Answer::json(200, {}));
  auto transport = make_cpprest_transport(server.config());
  { HttpAnswer dropped = transport->send(kGet, kLong, {}); }
  read_all(*transport->send(kGet, kLong, {}).body);
  EXPECT_EQ(server.requests().back().connection, 2);
}

TEST(Transport, AServerThatIsNotThereIsAnErrorThatMayPass) {
  Config config;
  {
    FakeApiServer gone;
    config = gone.config();
  }
  auto transport = make_cpprest_transport(config);
  EXPECT_EQ(failure_of([&] { transport->send(kGet, kLong, {}); }).kind, ErrorKind::kSystem);
}

TEST(Transport, ARedirectionIsNotFollowed) {
  FakeApiServer server, elsewhere;
  server.on("GET /version", Answer::bytes("HTTP/1.1 302 Found\r\nLocation: " + elsewhere.url() +
                                          "/x\r\nContent-Length: 0\r\n\r\n"));
  auto transport = make_cpprest_transport(server.config());
  EXPECT_EQ(transport->send({"GET", "/version", {{"Authorization", "Bearer t"}}, ""}, kLong, {}).status, 302);
  EXPECT_TRUE(elsewhere.requests().empty());
}

TEST(Transport, AnAddressThatIsNoneIsTheUsersToCorrect) {
  Config config;
  config.server = "https://a b";
  config.source = "kubeconfig x";
  EXPECT_EQ(failure_of([&] { make_cpprest_transport(config); }).kind, ErrorKind::kUsage);
}

// The timer column of the connections to this port: 02 is keep-alive's.
std::vector<std::string> timers_of_connections_to(const std::string& url) {
  int port = std::stoi(url.substr(url.rfind(':') + 1));
  std::vector<std::string> timers;
  std::ifstream lines("/proc/net/tcp");
  for (std::string line; std::getline(lines, line);) {
    char remote[64] = "", timer[64] = "";
    unsigned state = 0;
    if (std::sscanf(line.c_str(), " %*d: %*s %63s %x %*s %63s", remote, &state, timer) != 3) continue;
    std::string address(remote);
    std::size_t colon = address.find(':');
    if (state == 1 && colon != std::string::npos && std::stoi(address.substr(colon + 1), nullptr, 16) == port)
      timers.push_back(std::string(timer).substr(0, 2));
  }
  return timers;
}

TEST(Transport, AConnectionIsWatchedSoThatASilentlyDeadServerIsNoticed) {
  FakeApiServer server;
  auto gate = std::make_shared<Gate>();
  server.on("GET /version", Answer::stream().chunk("x").wait_for(gate));
  auto transport = make_cpprest_transport(server.config());
  HttpAnswer answer = transport->send(kGet, kLong, {});
  std::string text;
  ASSERT_TRUE(answer.body->read(text, kLong, {}));
  // The request's own retransmission timer may still be armed for a moment.
  std::vector<std::string> timers;
  for (int i = 0; i < 1000 && timers != std::vector<std::string>{"02"}; ++i) {
    timers = timers_of_connections_to(server.url());
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_EQ(timers, std::vector<std::string>{"02"});
}

// --- TLS ---

class TlsTransport : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    authority = new KeyPair(make_authority("test-ca"));
    leaf = new KeyPair(make_certificate(*authority, "apiserver", "IP:127.0.0.1"));
  }
  static void TearDownTestSuite() {
    delete authority;
    delete leaf;
  }
  static Config config_for(const FakeApiServer& server) {
    Config config = server.config();
    config.tls.ca_pem = authority->certificate_pem;
    return config;
  }
  static inline KeyPair* authority = nullptr;
  static inline KeyPair* leaf = nullptr;
};

TEST_F(TlsTransport, AServerOfTheClustersAuthorityIsTrusted) {
  FakeApiServer server(ServerTls{leaf->certificate_pem, leaf->key_pem, ""});
  server.on("GET /version", Answer::json(200, {{"ok", 1}}));
  auto transport = make_cpprest_transport(config_for(server));
  EXPECT_EQ(read_all(*transport->send(kGet, kLong, {}).body), R"({"ok":1})");
}

TEST_F(TlsTransport, AServerOfAnotherAuthorityIsRefusedAndTheSentenceSaysWhy) {
  KeyPair other = make_authority("other-ca");
  KeyPair certificate = make_certificate(other, "apiserver", "IP:127.0.0.1");
  FakeApiServer server(ServerTls{certificate.certificate_pem, certificate.key_pem, ""});
  auto transport = make_cpprest_transport(config_for(server));
  Failure failure = failure_of([&] { transport->send(kGet, kLong, {}); });
  EXPECT_EQ(failure.kind, ErrorKind::kInvalid);
  EXPECT_NE(failure.sentence.find("unable to get local issuer certificate"), std::string::npos)
      << failure.sentence;
  EXPECT_TRUE(server.requests().empty());
}

TEST_F(TlsTransport, ACertificateForAnotherHostIsRefused) {
  KeyPair certificate = make_certificate(*authority, "apiserver", "DNS:other.test");
  FakeApiServer server(ServerTls{certificate.certificate_pem, certificate.key_pem, ""});
  auto transport = make_cpprest_transport(config_for(server));
  Failure failure = failure_of([&] { transport->send(kGet, kLong, {}); });
  EXPECT_EQ(failure.kind, ErrorKind::kInvalid);
  EXPECT_NE(failure.sentence.find("it is for another host"), std::string::npos) << failure.sentence;
}

TEST_F(TlsTransport, AnExpiredCertificateIsRefused) {
  KeyPair certificate = make_certificate(*authority, "apiserver", "IP:127.0.0.1", -1);
  FakeApiServer server(ServerTls{certificate.certificate_pem, certificate.key_pem, ""});
  auto transport = make_cpprest_transport(config_for(server));
  Failure failure = failure_of([&] { transport->send(kGet, kLong, {}); });
  EXPECT_NE(failure.sentence.find("expired"), std::string::npos) << failure.sentence;
}

TEST_F(TlsTransport, OnlyAKubeconfigThatAsksForItSkipsTheCheck) {
  KeyPair other = make_authority("other-ca");
  KeyPair certificate = make_certificate(other, "x", "DNS:other.test");
  FakeApiServer server(ServerTls{certificate.certificate_pem, certificate.key_pem, ""});
  server.on("GET /version", Answer::json(200, {}));
  Config config = config_for(server);
  config.tls.insecure_skip_verify = true;
  EXPECT_EQ(make_cpprest_transport(config)->send(kGet, kLong, {}).status, 200);
}

TEST_F(TlsTransport, AClientCertificateIsShown) {
  KeyPair me = make_certificate(*authority, "me", "");
  FakeApiServer server(ServerTls{leaf->certificate_pem, leaf->key_pem, authority->certificate_pem});
  server.on("GET /version", Answer::json(200, {}));
  Config config = config_for(server);
  EXPECT_EQ(failure_of([&] { make_cpprest_transport(config)->send(kGet, kLong, {}); }).kind,
            ErrorKind::kSystem);
  config.tls.client_certificate_pem = me.certificate_pem;
  config.tls.client_key_pem = me.key_pem;
  EXPECT_EQ(make_cpprest_transport(config)->send(kGet, kLong, {}).status, 200);
}

TEST_F(TlsTransport, ACertificateFileThatIsReplacedIsUsedForTheNextConnection) {
  os::TemporaryDirectory directory("tls-test");
  KeyPair other = make_authority("other-ca");
  os::write_text_atomically(directory.path() / "ca.crt", other.certificate_pem);
  FakeApiServer server(ServerTls{leaf->certificate_pem, leaf->key_pem, ""});
  server.on("GET /version", Answer::json(200, {}));
  Config config = server.config();
  config.tls.ca_file = directory.path() / "ca.crt";
  auto transport = make_cpprest_transport(config);
  EXPECT_EQ(failure_of([&] { transport->send(kGet, kLong, {}); }).kind, ErrorKind::kInvalid);
  os::write_text_atomically(directory.path() / "ca.crt", authority->certificate_pem);
  EXPECT_EQ(transport->send(kGet, kLong, {}).status, 200);
}

TEST_F(TlsTransport, CredentialsThatCannotBeReadAreTheUsersToCorrect) {
  FakeApiServer server(ServerTls{leaf->certificate_pem, leaf->key_pem, ""});
  KeyPair me = make_certificate(*authority, "me", ""), other = make_certificate(*authority, "other", "");
  struct {
    const char* name;
    std::string ca, certificate, key;
  } cases[] = {{"no authority", "nonsense", "", ""},
               {"no certificate", authority->certificate_pem, "nonsense", me.key_pem},
               {"no key", authority->certificate_pem, me.certificate_pem, "nonsense"},
               {"another's key", authority->certificate_pem, me.certificate_pem, other.key_pem}};
  for (const auto& one : cases) {
    Config config = server.config();
    config.tls.ca_pem = one.ca;
    config.tls.client_certificate_pem = one.certificate;
    config.tls.client_key_pem = one.key;
    Failure failure = failure_of([&] { make_cpprest_transport(config)->send(kGet, kLong, {}); });
    EXPECT_EQ(failure.kind, ErrorKind::kUsage) << one.name << ": " << failure.sentence;
  }
}

}  // namespace
}  // namespace hyper2kvm::kube
