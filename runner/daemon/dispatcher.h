// Takes jobs from the queue to their end: claims, starts, watches, retries, publishes, forgets.
//
//        take          durable        start          finish            publish        retention
//   queue ───► kClaimed ─────► kQueued ────► kRunning ─────► kPublishing ─────► kDone ─────► forgotten
//                                 ▲             │  │ for good, or cancelled                      ▲
//      stop, crash, or what       └─────────────┘  └────────► kFailed, kCancelled ───────────────┘
//      may pass
//
// Each arrow makes its new state durable before anything depends on it, and each can be taken again after a
// crash: recover() does so for every job that it finds between two states. Driven by the daemon's loop in one
// thread, which also starts the children; taking waits for no disk, and nothing blocks for longer than the
// journal's fsync. Throws os::Error only where the queue itself cannot be used; what goes wrong with one job
// is that job's end and is logged. What is in the queue is taken in dispatcher_intake.cpp.
#pragma once

#include <poll.h>

#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <vector>

#include "runner/daemon/claim_sync.h"
#include "runner/daemon/conversion.h"
#include "runner/daemon/journal.h"
#include "runner/daemon/log.h"
#include "runner/daemon/notification.h"
#include "runner/daemon/results.h"
#include "runner/daemon/schedule.h"
#include "runner/daemon/settings.h"
#include "runner/daemon/statistics.h"
#include "runner/daemon/submission.h"

namespace hyper2kvm::daemon {

class Dispatcher {
 public:
  // program: hyper2kvm itself, which is started as `hyper2kvm convert ...`.
  Dispatcher(Settings settings, std::filesystem::path program, Log& log);
  ~Dispatcher();  // kills what still runs

  const Settings& settings() const { return settings_; }
  // New settings count for jobs that start from now on. The queue's directory stays what it was.
  void set_settings(Settings settings);

  // Puts right what a crash or a stop left between two states. Once, before anything else.
  void recover();
  // Looks at one file of the queue; takes or refuses it where it is ready.
  Readiness take(const std::string& file_name, const Writer& writer);
  // Starts what is due.
  void start_due();
  // Takes the children's output, ends what is overdue, finishes what has ended. True where a job may be
  // started since.
  bool tend();
  // Removes what has been kept long enough.
  void forget_expired();
  void add_to(std::vector<pollfd>& polled) const;

  // From now on nothing starts. What publishes or registers may finish; the rest is stopped and goes back to
  // the queue.
  void stop();
  void kill_running();
  // From now on nothing starts; what runs goes on.
  void drain() { draining_ = true; }
  bool draining() const { return draining_; }
  // Something is left to be done in tend() that nothing polled tells of.
  bool has_more_to_tend() const { return !durable_claims_.empty(); }
  bool idle() const { return running_.empty(); }
  bool has_free_slot() const {
    return settings_.max_concurrent == 0 || running_.size() < settings_.max_concurrent;
  }

  bool paused() const { return journal_.paused(); }
  void set_paused(bool paused);
  void cancel(const std::string& id);
  void retry(const std::string& id);

  const Jobs& jobs() const { return jobs_; }
  const Totals& totals() const { return statistics_.totals(); }
  std::size_t count(Phase phase) const;
  unsigned refused_files() const { return journal_.refused(); }
  std::size_t waiting() const { return count(Phase::kQueued) + count(Phase::kClaimed); }
  // One job, with its progress while it runs and what it waits for while it is queued.
  nlohmann::json describe_job(const Job& job) const;
  // Of all that runs.
  double bytes_per_second() const;
  // For systemctl status: what runs and how far, what waits.
  std::string status_text() const;

 private:
  struct Running {
    std::unique_ptr<Conversion> conversion;
    bool timed_out = false;
    std::chrono::steady_clock::time_point last_progress_line{};
  };
  Job& job(const std::string& id);
  // Takes the step that a crash, or a journal that could not be written, left undone.
  void reconcile(Job& job);
  void store(const Job& job) { journal_.store(job); }
  void bring_in(Job& job, bool is_new);
  void admit(Job& job);
  bool take_durable_claims();
  std::filesystem::path scratch_of(const Job& job) const;
  void remove_scratch(const Job& job) const;
  void start(Job& job);
  void handle_event(Job& job, Running& running, const contract::Event& event);
  void finish(const std::string& id);
  void requeue_interrupted(Job& job);
  void conclude(Job& job, const Verdict& verdict);
  void publish(Job& job);
  void fail(Job& job, const std::string& sentence, bool may_pass);
  void end(Job& job, Phase phase);
  void end_cancelled(Job& job);
  void settle(Job& job);
  void notify(Job& job);
  void take_notification_outcomes();

  Settings settings_;
  std::filesystem::path program_;
  Log& log_;
  Journal journal_;
  ClaimSync claim_sync_;
  std::deque<ClaimSync::Outcome> durable_claims_;
  Statistics statistics_;
  Notifier notifier_;
  Jobs jobs_;
  std::map<std::string, Running> running_;
  std::map<std::string, Waiting> waiting_;
  std::set<std::string> undone_;  // jobs whose last step could not be made durable
  std::chrono::steady_clock::time_point undone_tried_{};
  std::set<std::string> mentioned_;  // jobs whose waiting for space was logged
  bool stopping_ = false;
  bool draining_ = false;
};

}  // namespace hyper2kvm::daemon
