#include "operator/kube/manager.h"

#include <algorithm>
#include <atomic>
#include <thread>

namespace hyper2kvm::kube {
namespace {

using os::Error;
using os::ErrorKind;

// os::StopToken comes from a signal handler, so it can only be looked at; everything else in here waits on
// std::stop_token.
constexpr std::chrono::milliseconds kLook{50};
constexpr std::chrono::seconds kTaskPause{5};

}  // namespace

struct Manager::Task {
  std::string name;
  std::function<void(const std::stop_token&)> run;
  std::jthread thread;
};

struct Manager::Servers {
  std::unique_ptr<HttpServer> metrics, health;
};

Manager::Manager(Client client, ManagerOptions options, Metrics& metrics, Logger log)
    : client_(std::move(client)),
      options_(std::move(options)),
      metrics_(metrics),
      log_(std::move(log)),
      servers_(std::make_unique<Servers>()) {}

Manager::~Manager() = default;

void Manager::add(std::shared_ptr<InformerBase> informer) { informers_.push_back(std::move(informer)); }
void Manager::add(std::shared_ptr<Controller> controller) { controllers_.push_back(std::move(controller)); }
void Manager::add_task(std::string name, std::function<void(const std::stop_token&)> task) {
  tasks_.push_back(std::make_unique<Task>(Task{std::move(name), std::move(task), {}}));
}

std::uint16_t Manager::metrics_port() const {
  const auto& server = servers_->metrics ? servers_->metrics : servers_->health;
  return options_.metrics_address.empty() || !server ? 0 : server->port();
}

std::uint16_t Manager::health_port() const { return servers_->health ? servers_->health->port() : 0; }

bool Manager::informers_are_synced() const {
  return std::all_of(informers_.begin(), informers_.end(),
                     [](const auto& informer) { return informer->is_synced(); });
}

HttpReply Manager::readiness() const {
  HttpReply reply;
  for (const auto& informer : informers_) {
    if (informer->is_synced()) continue;
    reply.status = 503;
    std::string problem = informer->problem();
    reply.body += "the cache of " + informer->name() + " is not filled" +
                  (problem.empty() ? "" : ": " + problem) + "\n";
  }
  if (reply.status == 200) reply.body = "ok\n";
  return reply;
}

void Manager::serve() {
  auto alive = [] { return HttpReply{200, "text/plain; charset=utf-8", "ok\n"}; };
  auto measured = [this] {
    return HttpReply{200, "text/plain; version=0.0.4; charset=utf-8", metrics_.text()};
  };
  std::map<std::string, HttpServer::Handler> health = {
      {"/healthz", alive}, {"/livez", alive}, {"/readyz", [this] { return readiness(); }}};
  bool one_server = options_.metrics_address == options_.health_address;
  if (one_server) health["/metrics"] = measured;
  if (!options_.health_address.empty())
    servers_->health = std::make_unique<HttpServer>(options_.health_address, std::move(health));
  if (!one_server && !options_.metrics_address.empty())
    servers_->metrics = std::make_unique<HttpServer>(
        options_.metrics_address, std::map<std::string, HttpServer::Handler>{{"/metrics", measured}});
}

void Manager::run(const os::StopToken& stop) {
  serve();
  for (const auto& informer : informers_) informer->start(client_, log_);

  // Set by the elector's thread; ends when the leadership does.
  std::stop_source leadership;
  std::atomic<bool> is_leader = !options_.election.has_value();
  std::atomic<bool> is_lost = false;
  std::stop_source election_stop;
  std::unique_ptr<LeaderElector> elector;
  std::jthread election;
  if (options_.election) {
    const std::string lease = options_.election->name;
    metrics_.set_leader(lease, false);
    elector = std::make_unique<LeaderElector>(client_, *options_.election, log_, *options_.clock);
    election = std::jthread([&, lease, stopped = election_stop.get_token()] {
      if (!elector->acquire(stopped)) return;
      metrics_.set_leader(lease, true);
      is_leader = true;
      if (elector->hold(stopped)) return;
      metrics_.set_leader(lease, false);
      client_.cut();
      is_lost = true;
      leadership.request_stop();
    });
  }

  while (!stop.stop_requested() && !is_lost && !(is_leader && informers_are_synced()))
    std::this_thread::sleep_for(kLook);
  if (!stop.stop_requested() && !is_lost) work(stop, leadership.get_token());

  log_.info("stopping");
  for (const auto& task : tasks_) task->thread.request_stop();
  if (is_lost)
    for (const auto& controller : controllers_) controller->request_stop();
  for (const auto& informer : informers_) informer->stop();
  if (!is_lost) drain();
  for (const auto& controller : controllers_) controller->join();
  for (const auto& task : tasks_) task->thread = {};
  // The last: whoever gets the lease may rely on nothing of ours running any more.
  election_stop.request_stop();
  if (election.joinable()) election.join();
  if (elector && !is_lost) {
    elector->release();
    metrics_.set_leader(options_.election->name, false);
  }
  if (is_lost)
    throw Error(ErrorKind::kSystem, "lease " + options_.election->name_space + "/" + options_.election->name,
                "was lost, so another replica works now",
                "This one ends, to be started again as a stand-by.");
}

// Until the stop or the end of the leadership.
void Manager::work(const os::StopToken& stop, const std::stop_token& leadership) {
  log_.info("starting the controllers");
  for (const auto& controller : controllers_) controller->start();
  for (const auto& task : tasks_)
    task->thread = std::jthread([this, one = task.get()](const std::stop_token& stopped) {
      while (!stopped.stop_requested()) {
        try {
          return one->run(stopped);
        } catch (const std::exception& error) {
          log_.error("a task failed and is started again", {{"task", one->name}, {"error", error.what()}});
        }
        options_.clock->sleep(kTaskPause, stopped);
      }
    });
  while (!stop.stop_requested() && !leadership.stop_requested()) std::this_thread::sleep_for(kLook);
}

void Manager::drain() {
  Time deadline = options_.clock->now() + options_.drain_time;
  for (const auto& controller : controllers_) controller->queue().shut_down();
  bool finished = true;
  for (const auto& controller : controllers_) {
    if (controller->drain(std::max(Duration::zero(), deadline - options_.clock->now()))) continue;
    finished = false;
    log_.warning("not everything in the queue could be finished", {{"controller", controller->name()}});
  }
  // A request that hangs must not hold up the release of the lease.
  if (!finished) client_.cut();
}

}  // namespace hyper2kvm::kube
