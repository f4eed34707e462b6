#include "operator/kube/metrics.h"

#include <gtest/gtest.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <regex>

namespace hyper2kvm::kube {
namespace {

using std::chrono::milliseconds;

// The value of the sample that starts like this; "absent" where there is none.
std::string sample(const Metrics& metrics, const std::string& start) {
  std::string text = metrics.text();
  std::size_t at = text.find("\n" + start + " ");
  if (at == std::string::npos) return "absent";
  at += start.size() + 2;
  return text.substr(at, text.find('\n', at) - at);
}

TEST(Metrics, OfAControllerStartAtZero) {
  Metrics metrics;
  metrics.controller("vm", 3);
  for (const char* result : {"success", "error", "requeue", "requeue_after"})
    EXPECT_EQ(sample(metrics, "controller_runtime_reconcile_total{controller=\"vm\",result=\"" +
                                  std::string(result) + "\"}"),
              "0");
  EXPECT_EQ(sample(metrics, "controller_runtime_reconcile_errors_total{controller=\"vm\"}"), "0");
  EXPECT_EQ(sample(metrics, "controller_runtime_reconcile_time_seconds_count{controller=\"vm\"}"), "0");
  EXPECT_EQ(sample(metrics, "controller_runtime_max_concurrent_reconciles{controller=\"vm\"}"), "3");
  EXPECT_EQ(sample(metrics, "controller_runtime_active_workers{controller=\"vm\"}"), "0");
  for (const char* name :
       {"workqueue_depth", "workqueue_adds_total", "workqueue_retries_total",
        "workqueue_queue_duration_seconds_count", "workqueue_work_duration_seconds_count"}) {
    std::string start = std::string(name) + "{controller=\"vm\",name=\"vm\"}";
    EXPECT_EQ(sample(metrics, start), "0") << name;
  }
}

TEST(Metrics, OfRequestsStartAtZero) {
  Metrics metrics("10.0.0.1:443");
  EXPECT_EQ(sample(metrics, "rest_client_requests_total{code=\"201\",host=\"10.0.0.1:443\",method=\"POST\"}"),
            "0");
  EXPECT_EQ(
      sample(metrics, "rest_client_request_duration_seconds_count{host=\"10.0.0.1:443\",method=\"GET\"}"),
      "0");
}

TEST(Metrics, CountReconciles) {
  Metrics metrics;
  ControllerMetrics& controller = metrics.controller("vm", 1);
  controller.reconcile_started();
  controller.reconcile_started();
  controller.reconcile_finished(ReconcileResult::kError, milliseconds(70));
  EXPECT_EQ(sample(metrics, "controller_runtime_active_workers{controller=\"vm\"}"), "1");
  EXPECT_EQ(sample(metrics, "controller_runtime_reconcile_total{controller=\"vm\",result=\"error\"}"), "1");
  EXPECT_EQ(sample(metrics, "controller_runtime_reconcile_errors_total{controller=\"vm\"}"), "1");
  EXPECT_EQ(
      sample(metrics, "controller_runtime_reconcile_time_seconds_bucket{controller=\"vm\",le=\"0.05\"}"),
      "0");
  EXPECT_EQ(sample(metrics, "controller_runtime_reconcile_time_seconds_bucket{controller=\"vm\",le=\"0.1\"}"),
            "1");
}

TEST(Metrics, CountTheQueue) {
  Metrics metrics;
  ControllerMetrics& controller = metrics.controller("vm", 1);
  // Later than any machine is slow.
  WorkQueue queue(Backoff{std::chrono::hours(1), 1, std::chrono::hours(1), 0}, &controller);
  queue.add({"n", "a"});
  queue.add({"n", "b"});
  queue.add_after_failure({"n", "c"});
  EXPECT_EQ(sample(metrics, "workqueue_depth{controller=\"vm\",name=\"vm\"}"), "2");
  queue.take({});
  queue.done({"n", "a"});
  EXPECT_EQ(sample(metrics, "workqueue_depth{controller=\"vm\",name=\"vm\"}"), "1");
  EXPECT_EQ(sample(metrics, "workqueue_retries_total{controller=\"vm\",name=\"vm\"}"), "1");
  EXPECT_EQ(sample(metrics, "workqueue_work_duration_seconds_count{controller=\"vm\",name=\"vm\"}"), "1");
}

TEST(Metrics, CountRequestsByTheirAnswers) {
  Metrics metrics;
  metrics.count_request({"GET", "h", 200, std::chrono::duration<double>(0.05)});
  metrics.count_request({"GET", "h", 0, {}});
  EXPECT_EQ(sample(metrics, "rest_client_requests_total{code=\"200\",host=\"h\",method=\"GET\"}"), "1");
  EXPECT_EQ(sample(metrics, "rest_client_requests_total{code=\"<error>\",host=\"h\",method=\"GET\"}"), "1");
  EXPECT_EQ(sample(metrics, "rest_client_request_duration_seconds_count{host=\"h\",method=\"GET\"}"), "2");
}

TEST(Metrics, TellWhoLeads) {
  Metrics metrics;
  metrics.set_leader("operator", false);
  EXPECT_EQ(sample(metrics, "leader_election_master_status{name=\"operator\"}"), "0");
  metrics.set_leader("operator", true);
  EXPECT_EQ(sample(metrics, "leader_election_master_status{name=\"operator\"}"), "1");
}

TEST(Metrics, TellOfTheProcess) {
  Metrics metrics;
  auto value = [&](const char* name) { return std::stod("0" + sample(metrics, name)); };
  EXPECT_GT(value("process_resident_memory_bytes"), 1e6);
  EXPECT_GT(value("process_virtual_memory_bytes"), value("process_resident_memory_bytes"));
  EXPECT_GT(value("process_open_fds"), 2);
  EXPECT_GE(value("process_max_fds"), value("process_open_fds"));
  EXPECT_GT(value("process_start_time_seconds"), 1e9);
  EXPECT_NE(sample(metrics, "process_cpu_seconds_total"), "absent");
}

TEST(Metrics, OfOnesOwnAreServedToo) {
  Metrics metrics;
  prometheus::BuildGauge().Name("mine").Help("x").Register(metrics.registry()).Add({}).Set(7);
  EXPECT_EQ(sample(metrics, "mine"), "7");
  auto other = std::make_shared<prometheus::Registry>();
  prometheus::BuildGauge().Name("late").Help("x").Register(*other).Add({}).Set(8);
  metrics.add(other);
  EXPECT_EQ(sample(metrics, "late"), "8");
  other.reset();
  EXPECT_EQ(sample(metrics, "late"), "absent");
}

TEST(Metrics, EverySampleHasItsHelpAndType) {
  Metrics metrics("h");
  metrics.controller("vm", 1);
  std::istringstream lines(metrics.text());
  std::set<std::string> typed;
  std::regex type_line("# TYPE (\\w+) (counter|gauge|histogram)"), sample_line("(\\w+)(\\{.*\\})? \\S+");
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_match(line, match, type_line)) {
      typed.insert(match[1]);
    } else if (line.rfind("# HELP ", 0) != 0) {
      ASSERT_TRUE(std::regex_match(line, match, sample_line)) << line;
      std::string name = std::regex_replace(match[1].str(), std::regex("_(bucket|sum|count)$"), "");
      EXPECT_TRUE(typed.contains(name) || typed.contains(match[1])) << line;
    }
  }
  EXPECT_EQ(typed.size(), 18u) << "5 of the controller, 5 of its queue, 2 of requests, 6 of the process";
}

}  // namespace
}  // namespace hyper2kvm::kube
