// The life of an operator's process, against a server that keeps a lease and a few objects.
#include "operator/kube/manager.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "tests/unit/kube/fake_api_server.h"
#include "tests/unit/kube/log_lines.h"

namespace hyper2kvm::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const std::string kMaps = "/api/v1/configmaps";
const std::string kLease = "/apis/coordination.k8s.io/v1/namespaces/system/leases/operator";

// "200 ok\n"
std::string get(std::uint16_t port, const std::string& path) {
  os::UniqueFd socket(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return "refused";
  std::string request = "GET " + path + " HTTP/1.1\r\n\r\n", text;
  ::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL);
  char buffer[65536];
  for (ssize_t got; (got = ::recv(socket.get(), buffer, sizeof buffer, 0)) > 0;)
    text.append(buffer, static_cast<std::size_t>(got));
  return text.substr(9, 4) + text.substr(text.find("\r\n\r\n") + 4);
}

// Looks until it is so, for at most ten seconds.
bool eventually(const std::function<bool()>& is_so) {
  for (int i = 0; i < 60000 && !is_so(); ++i) std::this_thread::sleep_for(milliseconds(1));
  return is_so();
}

class ManagerTest : public testing::Test {
 protected:
  ManagerTest() {
    options.metrics_address = "127.0.0.1:0";
    options.health_address = "localhost:0";
    server.serve("GET " + kLease, [this](const auto&) {
      std::lock_guard lock(mutex);
      return lease.is_null() ? Answer::failure(404, "NotFound") : Answer::json(200, lease);
    });
    auto store = [this](const ReceivedRequest& request) {
      std::lock_guard lock(mutex);
      Json written = Json::parse(request.body);
      if (!lease.is_null() && resource_version_of(written) != resource_version_of(lease))
        return Answer::failure(409, "Conflict");
      written["metadata"]["resourceVersion"] = std::to_string(++version);
      lease = written;
      return Answer::json(200, lease);
    };
    server.serve("POST /apis/coordination.k8s.io/v1/namespaces/system/leases", store);
    server.serve("PUT " + kLease, store);
    server.serve("WATCH " + kMaps, [this](const auto&) { return Answer::stream().wait_for(gate); });
    server.serve("GET " + kMaps,
                 [](const auto&) { return Answer::json(200, list_of({object("a", "1")}, "5")); });
    controller_options.name = "vm";
  }
  void make(Reconcile reconcile) {
    manager.emplace(client, options, metrics, Logger(log, LogLevel::kDebug));
    informer =
        std::make_shared<Informer<Json>>(types::kConfigMaps, InformerOptions{}, keep_all_but_managed_fields);
    controller = std::make_shared<Controller>(controller_options, std::move(reconcile), metrics, Logger());
    informer->cache().on_change(
        [this](const ObjectKey& key, const auto&, const auto&) { controller->queue().add(key); });
    manager->add(informer);
    manager->add(controller);
  }
  void start() {
    runner = std::jthread([this] {
      try {
        manager->run(stop.token());
        ended = "in good order";
      } catch (const os::Error& error) {
        ended = error.sentence();
      }
    });
  }
  void elect() {
    options.election = LeaderElectionOptions{"system", "operator", "me", {}};
    options.election->times = {seconds(3), seconds(2), seconds(1)};
  }
  std::string holder() {
    std::lock_guard lock(mutex);
    return text_at(lease, {"spec", "holderIdentity"});
  }

  FakeApiServer server;
  std::mutex mutex;
  Json lease;
  int version = 0;
  std::shared_ptr<Gate> gate = std::make_shared<Gate>();
  Client client = server.client();
  ManagerOptions options;
  ControllerOptions controller_options;
  Metrics metrics;
  std::shared_ptr<LogLines> log = std::make_shared<LogLines>();
  std::shared_ptr<Informer<Json>> informer;
  std::shared_ptr<Controller> controller;
  std::optional<Manager> manager;
  os::StopSource stop;
  std::string ended;
  std::jthread runner;
};

TEST_F(ManagerTest, ServesReconcilesAndEndsInGoodOrder) {
  std::atomic<int> reconciles = 0;
  make([&](const ReconcileRequest& request) {
    EXPECT_EQ(request.key.name, "a");
    ++reconciles;
    return ReconcileOutcome::done();
  });
  start();
  ASSERT_TRUE(eventually([&] { return reconciles == 1; }));
  EXPECT_EQ(get(manager->health_port(), "/healthz"), "200 ok\n");
  EXPECT_EQ(get(manager->health_port(), "/readyz"), "200 ok\n");
  EXPECT_EQ(get(manager->health_port(), "/metrics").substr(0, 3), "404");
  EXPECT_NE(get(manager->metrics_port(), "/metrics").find("controller_runtime_reconcile_total"),
            std::string::npos);
  stop.request_stop();
  runner.join();
  EXPECT_EQ(ended, "in good order");
}

TEST_F(ManagerTest, IsNotReadyAndReconcilesNothingBeforeTheCachesAreFilled) {
  auto late = std::make_shared<Gate>();
  server.on("GET " + kMaps, Answer::failure(403, "Forbidden", "no"));
  server.on("GET " + kMaps,
            Answer::stream().wait_for(late).chunk(list_of({object("a", "1")}, "5").dump()).end());
  std::atomic<int> reconciles = 0;
  make([&](const ReconcileRequest&) {
    EXPECT_TRUE(informer->is_synced());
    ++reconciles;
    return ReconcileOutcome::done();
  });
  controller->queue().add({"default", "early"});
  start();
  ASSERT_TRUE(eventually([&] { return !informer->problem().empty(); }));
  std::string readiness = get(manager->health_port(), "/readyz");
  EXPECT_EQ(readiness.substr(0, 3), "503");
  EXPECT_NE(readiness.find("the cache of configmaps is not filled: "), std::string::npos) << readiness;
  EXPECT_NE(readiness.find("Forbidden"), std::string::npos) << readiness;
  EXPECT_EQ(get(manager->health_port(), "/healthz"), "200 ok\n");
  EXPECT_EQ(reconciles, 0);
  late->open();
  EXPECT_TRUE(eventually([&] { return reconciles == 2; }));
  stop.request_stop();
}

TEST_F(ManagerTest, AStandByIsReadyButDoesNothingUntilTheLeaseIsFree) {
  elect();
  {
    std::lock_guard lock(mutex);
    lease = {{"metadata", {{"name", "operator"}, {"namespace", "system"}, {"resourceVersion", "1"}}}};
    set_lease_record(lease, {"other", seconds(600), "", "", 0});
  }
  std::atomic<int> reconciles = 0;
  make([&](const ReconcileRequest&) {
    ++reconciles;
    return ReconcileOutcome::done();
  });
  start();
  ASSERT_TRUE(eventually([&] { return informer->is_synced(); }));
  EXPECT_EQ(get(manager->health_port(), "/readyz"), "200 ok\n");
  EXPECT_NE(
      get(manager->metrics_port(), "/metrics").find("leader_election_master_status{name=\"operator\"} 0"),
      std::string::npos);
  EXPECT_EQ(reconciles, 0);
  {
    std::lock_guard lock(mutex);
    lease["spec"]["holderIdentity"] = "";
  }
  EXPECT_TRUE(eventually([&] { return reconciles == 1; }));
  EXPECT_EQ(holder(), "me");
  stop.request_stop();
  runner.join();
  EXPECT_EQ(holder(), "") << "released";
  EXPECT_EQ(ended, "in good order");
}

TEST_F(ManagerTest, TheLeaseIsReleasedOnlyAfterTheLastReconcile) {
  elect();
  std::atomic<bool> running = false;
  auto finish = std::make_shared<Gate>();
  std::string holder_at_the_end;
  make([&](const ReconcileRequest&) {
    running = true;
    finish->wait([] { return false; });
    holder_at_the_end = holder();
    return ReconcileOutcome::done();
  });
  start();
  ASSERT_TRUE(eventually([&] { return running.load(); }));
  stop.request_stop();
  ASSERT_TRUE(eventually([&] { return !log->with_message("stopping").empty(); }));
  finish->open();
  runner.join();
  EXPECT_EQ(holder_at_the_end, "me");
  EXPECT_EQ(holder(), "");
}

TEST_F(ManagerTest, ARequestThatHangsDoesNotHoldUpTheEnd) {
  elect();
  options.drain_time = seconds(0);
  server.on("GET /hangs", Answer::bytes("").wait_for(gate));
  make([&](const ReconcileRequest&) {
    client.get_path("/hangs");
    return ReconcileOutcome::done();
  });
  start();
  server.wait_for_request("GET /hangs", 1);
  stop.request_stop();
  runner.join();
  EXPECT_EQ(ended, "in good order");
  EXPECT_EQ(holder(), "");
}

TEST_F(ManagerTest, ALostLeaseEndsTheProcessAndCutsItsRequests) {
  elect();
  server.on("GET /hangs", Answer::bytes("").wait_for(gate));
  std::atomic<bool> was_cut = false;
  make([&](const ReconcileRequest&) {
    try {
      client.get_path("/hangs");
    } catch (const os::Error& error) {
      was_cut = error.kind() == os::ErrorKind::kCancelled;
      throw;
    }
    return ReconcileOutcome::done();
  });
  start();
  server.wait_for_request("GET /hangs", 1);
  {
    std::lock_guard lock(mutex);
    set_lease_record(lease, {"usurper", seconds(15), "", "", 9});
    lease["metadata"]["resourceVersion"] = "999";
  }
  runner.join();
  EXPECT_NE(ended.find("was lost"), std::string::npos) << ended;
  EXPECT_TRUE(was_cut);
  EXPECT_EQ(holder(), "usurper");
}

TEST_F(ManagerTest, ATaskRunsWhileItLeadsAndIsStartedAgainWhenItFails) {
  make([](const ReconcileRequest&) { return ReconcileOutcome::done(); });
  std::atomic<bool> stopped = false;
  manager->add_task("beside", [&](const std::stop_token& token) {
    Clock::real().sleep(std::chrono::hours(1), token);
    stopped = true;
  });
  std::atomic<int> tries = 0;
  manager->add_task("failing", [&](const std::stop_token&) {
    ++tries;
    throw os::Error(os::ErrorKind::kSystem, "x", "failed");
  });
  start();
  ASSERT_TRUE(eventually([&] { return tries > 0; }));
  stop.request_stop();
  runner.join();
  EXPECT_TRUE(stopped);
  EXPECT_GE(log->with_message("a task failed and is started again").size(), 1u);
}

TEST_F(ManagerTest, AStopBeforeAnythingIsThereEndsIt) {
  server.on("GET " + kMaps, Answer::stream().wait_for(gate));
  make([](const ReconcileRequest&) { return ReconcileOutcome::done(); });
  stop.request_stop();
  start();
  runner.join();
  EXPECT_EQ(ended, "in good order");
}

}  // namespace
}  // namespace hyper2kvm::kube
