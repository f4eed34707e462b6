#include "runner/daemon/dispatcher.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

#include "runner/daemon/claim.h"
#include "runner/daemon/description.h"
#include "runner/daemon/ending.h"
#include "runner/daemon/engine_manifest.h"
#include "runner/daemon/results.h"
#include "runner/os/error.h"

namespace hyper2kvm::daemon {
namespace {

namespace fs = std::filesystem;
using os::Error;
using os::ErrorKind;

constexpr std::chrono::seconds kUntilKill{8};
constexpr std::chrono::seconds kProgressLines{10};
constexpr std::chrono::seconds kUndoneAgain{5};

std::int64_t now() { return std::time(nullptr); }

Space space_of(const fs::path& directory) {
  std::error_code code;
  fs::space_info info = fs::space(directory, code);
  if (code) return {UINT64_MAX, 0};
  return {info.available, info.capacity};
}

}  // namespace

Dispatcher::Dispatcher(Settings settings, fs::path program, Log& log)
    : settings_(std::move(settings)),
      program_(std::move(program)),
      log_(log),
      journal_(settings_.watch_dir),
      claim_sync_(journal_),
      statistics_(journal_.statistics_file()) {
  for (const fs::path& directory : {settings_.output_dir, settings_.temp_dir}) {
    try {
      os::make_directories(directory);
      os::TemporaryDirectory probe(".hyper2kvm-probe", directory);
    } catch (const Error& error) {
      throw Error(ErrorKind::kUsage, directory.string(), "cannot be written to: " + error.problem(),
                  "Give the directory to the daemon's user (chown hyper2kvm:hyper2kvm), and name it in "
                  "ReadWritePaths= of a drop-in where the unit does not allow it.",
                  error.errno_value());
    }
  }
}

Dispatcher::~Dispatcher() = default;

void Dispatcher::set_settings(Settings settings) {
  if (settings.watch_dir != settings_.watch_dir || settings.output_dir != settings_.output_dir) {
    log_.warning("WATCH_DIR and OUTPUT_DIR change only with a restart: systemctl restart " +
                 service_name(settings_.instance) + ".");
    settings.watch_dir = settings_.watch_dir;
    settings.output_dir = settings_.output_dir;
  }
  settings_ = std::move(settings);
}

Job& Dispatcher::job(const std::string& id) {
  auto found = jobs_.find(id);
  if (found == jobs_.end())
    throw Error(ErrorKind::kInvalid, "job " + id, "is not known", "hyperctl jobs list shows all.");
  return found->second;
}

std::size_t Dispatcher::count(Phase phase) const {
  return static_cast<std::size_t>(std::count_if(
      jobs_.begin(), jobs_.end(), [&](const auto& entry) { return entry.second.phase == phase; }));
}

void Dispatcher::recover() {
  std::vector<std::string> problems;
  jobs_ = journal_.load(problems);
  for (const std::string& problem : problems) log_.error(problem);
  std::set<std::string> uncounted;
  for (const auto& [id, found] : jobs_)
    if (has_ended(found.phase) && !found.counted) uncounted.insert(id);
  statistics_.keep_only(uncounted);
  for (auto& [id, found] : jobs_) {
    try {
      reconcile(found);
    } catch (const Error& error) {
      undone_.insert(id);
      log_.error(error.sentence(), fields_of(found));
    }
  }
}

void Dispatcher::reconcile(Job& found) {
  switch (found.phase) {
    case Phase::kClaimed:
      // Once nothing of its file is left, it has been durable before.
      if (identity_of(journal_.taken_file(found.id)) || is_in_queue(journal_, found))
        bring_in(found, false);
      else
        admit(found);
      break;
    case Phase::kQueued:
      if (undone_tried_ != std::chrono::steady_clock::time_point{}) store(found);  // not at the start
      break;
    case Phase::kRunning: {
      if (running_.contains(found.id)) break;
      remove_scratch(found);
      auto verdict = read_verdict(found.report_path, journal_.engine_manifest(found.id));
      if (verdict && verdict->success)
        conclude(found, *verdict);
      else
        requeue_interrupted(found);
      break;
    }
    case Phase::kPublishing:
      publish(found);
      break;
    default:
      settle(found);
      break;
  }
}

void Dispatcher::start_due() {
  waiting_.clear();
  if (stopping_ || draining_ || paused()) return;
  Choice choice = choose(jobs_, settings_, now(), space_of(settings_.output_dir));
  for (const std::string& id : choice.never_fit) {
    Job& large = job(id);
    fail(large,
         fmt::format(
             "{}: needs about {} bytes for its result, and the whole file system of {} is smaller. Set "
             "OUTPUT_DIR to a larger one.",
             machine_name(large), estimated_output_bytes(large), settings_.output_dir.string()),
         false);
  }
  for (const std::string& id : choice.start) start(job(id));
  for (const auto& [id, why] : choice.waiting) {
    if (why == Waiting::kForSpace && mentioned_.insert(id).second)
      log_.warning(fmt::format("waits until {} has {} bytes free for its result (and for the jobs that run).",
                               settings_.output_dir.string(), estimated_output_bytes(job(id))),
                   fields_of(job(id)));
  }
  waiting_ = std::move(choice.waiting);
}

void Dispatcher::start(Job& due) {
  try {
    for (const std::string& disk : due.disks)
      if (auto hidden = hidden_disk(disk)) {
        fail(due, *hidden, false);
        return;
      }
    contract::ParsedManifest submitted = contract::load_manifest(journal_.submitted_manifest(due.id));
    submitted.path = journal_.watch_dir() / due.file_name;
    contract::Manifest manifest = engine_manifest(submitted, due, settings_);
    os::write_text_atomically(journal_.engine_manifest(due.id), contract::to_json(manifest).dump(1));
    fs::path directory = machine_directory(settings_, due);
    os::make_directories(directory);
    due.format = contract::to_string(manifest.output.format);
    due.report_path = (directory / manifest.options.report_path).string();
    ::unlink(due.report_path.c_str());
    ++due.attempts;
    due.started = now();
    due.phase = Phase::kRunning;
    store(due);
    Running running;
    remove_scratch(due);
    os::make_directories(scratch_of(due));
    running.conversion = std::make_unique<Conversion>(
        ConversionCommand{program_, journal_.engine_manifest(due.id), scratch_of(due), settings_.key_dir});
    running_.emplace(due.id, std::move(running));
    log_.info(fmt::format("attempt {} begins", due.attempts), fields_of(due));
  } catch (const Error& error) {
    fail(due, error.sentence(), error.may_pass());
  }
}

// A conversion that was killed leaves its scratch files behind; in a place of the job's own they can be told
// from those of others.
fs::path Dispatcher::scratch_of(const Job& of) const { return settings_.temp_dir / ("job-" + of.id); }

void Dispatcher::remove_scratch(const Job& of) const {
  std::error_code ignored;
  fs::remove_all(scratch_of(of), ignored);
}

void Dispatcher::handle_event(Job& of, Running& running, const contract::Event& event) {
  using Kind = contract::Event::Kind;
  switch (event.kind) {
    case Kind::kStageStarted:
      if (event.stage == "register" && !of.register_begun) {
        of.register_begun = true;
        store(of);
      }
      log_.debug("begins", fields_of(of, event.stage));
      break;
    case Kind::kStageEnded:
      // A failed stage is told once, with the job's end.
      if (event.success)
        log_.info(fmt::format("done in {:.1f} s", event.duration_seconds), fields_of(of, event.stage));
      break;
    case Kind::kMessage:
      log_.write(event.severity == contract::Severity::kError ? contract::Severity::kWarning : event.severity,
                 event.message, fields_of(of, event.stage));
      break;
    case Kind::kProgress: {
      auto time = std::chrono::steady_clock::now();
      if (!settings_.verbose_progress || time - running.last_progress_line < kProgressLines) break;
      running.last_progress_line = time;
      const Progress& progress = running.conversion->progress();
      log_.info(fmt::format("{:.0f} %, {:.1f} MB/s", progress.percent(), progress.bytes_per_second / 1e6),
                fields_of(of, event.stage));
      break;
    }
    case Kind::kResult:
      break;
  }
}

bool Dispatcher::tend() {
  take_notification_outcomes();
  bool changed = take_durable_claims();
  std::vector<std::string> ended;
  for (auto& [id, running] : running_) {
    Job& of = job(id);
    try {
      for (const contract::Event& event : running.conversion->take_output()) handle_event(of, running, event);
    } catch (const Error& error) {
      log_.error(error.sentence(), fields_of(of));
    }
    if (is_overdue(of, settings_, now()) && !running.timed_out) {
      running.timed_out = true;
      running.conversion->ask_to_stop();
    }
    auto asked = running.conversion->asked_at();
    if (asked && std::chrono::steady_clock::now() - *asked > kUntilKill) running.conversion->kill();
    if (running.conversion->ended()) ended.push_back(id);
  }
  for (const std::string& id : ended) {
    try {
      finish(id);
    } catch (const Error& error) {
      undone_.insert(id);
      log_.error(error.sentence(), fields_of(job(id)));
    }
  }
  changed = changed || !ended.empty();
  auto time = std::chrono::steady_clock::now();
  if (undone_.empty() || time - undone_tried_ < kUndoneAgain) return changed;
  undone_tried_ = time;
  std::set<std::string> again;
  again.swap(undone_);
  for (const std::string& id : again) {
    try {
      if (jobs_.contains(id)) reconcile(job(id));
    } catch (const Error& error) {
      undone_.insert(id);
      log_.debug(error.sentence(), fields_of(job(id)));
    }
  }
  return true;
}

void Dispatcher::finish(const std::string& id) {
  Running running = std::move(running_.at(id));
  running_.erase(id);
  Job& ended = job(id);
  remove_scratch(ended);
  const Conversion& conversion = *running.conversion;
  EndedConversion known{.verdict = read_verdict(ended.report_path, journal_.engine_manifest(id)),
                        .result = conversion.result(),
                        .last_words = conversion.last_words(),
                        .status = conversion.status(),
                        .asked_to_stop = conversion.asked_at().has_value(),
                        .timed_out = running.timed_out};
  Ending ending = ending_of(known, ended, settings_);
  switch (ending.kind) {
    case Ending::Kind::kConverted:
      conclude(ended, *known.verdict);
      break;
    case Ending::Kind::kCancelled:
      end_cancelled(ended);
      break;
    case Ending::Kind::kInterrupted:
      requeue_interrupted(ended);
      break;
    case Ending::Kind::kFailed:
      fail(ended, ending.error, ending.may_pass);
      break;
  }
}

void Dispatcher::requeue_interrupted(Job& stopped) {
  if (stopped.cancel_requested) return end_cancelled(stopped);
  ++stopped.interruptions;
  stopped.phase = Phase::kQueued;
  store(stopped);
  log_.info("was interrupted and is back in the queue", fields_of(stopped));
}

void Dispatcher::conclude(Job& converted, const Verdict& verdict) {
  converted.output_path = verdict.boot_disk;
  converted.output_bytes = verdict.output_bytes;
  converted.duration_seconds = verdict.duration_seconds;
  for (const std::string& warning : verdict.warnings)
    if (std::find(converted.warnings.begin(), converted.warnings.end(), warning) == converted.warnings.end())
      converted.warnings.push_back(warning);
  converted.error.clear();
  converted.phase = Phase::kPublishing;
  store(converted);
  publish(converted);
}

void Dispatcher::publish(Job& converted) {
  if (!converted.output_path.empty()) {
    try {
      publish_result(settings_.output_dir, converted);
    } catch (const Error& error) {
      fail(converted, error.sentence(), error.may_pass());
      return;
    }
    if (settings_.cleanup_source) {
      std::vector<std::string> needed;
      for (const auto& [id, other] : jobs_)
        if (id != converted.id && !has_ended(other.phase))
          needed.insert(needed.end(), other.disks.begin(), other.disks.end());
      for (const std::string& problem : remove_sources(converted, needed, settings_.output_dir)) {
        converted.warnings.push_back(problem);
        log_.warning(problem, fields_of(converted));
      }
    }
  }
  end(converted, Phase::kDone);
}

void Dispatcher::fail(Job& failed, const std::string& sentence, bool may_pass) {
  ++failed.failures;
  failed.error = sentence;
  mentioned_.erase(failed.id);
  if (after_failure(failed, may_pass, settings_) == AfterFailure::kRetry && !failed.cancel_requested) {
    std::int64_t wait = backoff(failed.failures, settings_.retry_delay);
    failed.not_before = now() + wait;
    failed.phase = Phase::kQueued;
    store(failed);
    log_.warning(fmt::format("{} Attempt {} of {} failed; the next begins in {} s.", sentence,
                             failed.failures, settings_.retry_limit, wait),
                 fields_of(failed));
    return;
  }
  end(failed, Phase::kFailed);
}

void Dispatcher::end(Job& ended, Phase phase) {
  ended.phase = phase;
  ended.finished = now();
  ended.counted = false;
  ended.mailed = settings_.notify_email.empty();
  ended.hooked = settings_.webhook_url.empty();
  store(ended);
  if (phase == Phase::kDone) {
    log_.info(ended.output_path.empty()
                  ? std::string("done; nothing was to be converted")
                  : fmt::format("done in {:.1f} s: {}", ended.duration_seconds, ended.output_path),
              fields_of(ended));
  } else if (phase == Phase::kFailed) {
    log_.error(ended.error, fields_of(ended));
  } else {
    log_.info("was cancelled", fields_of(ended));
  }
  settle(ended);
}

void Dispatcher::end_cancelled(Job& unwanted) {
  unwanted.error = "The conversion was cancelled.";
  end(unwanted, Phase::kCancelled);
}

void Dispatcher::settle(Job& ended) {
  if (!ended.counted) {
    if (ended.phase != Phase::kDone) publish_failure(settings_.output_dir, ended);
    statistics_.count(ended);
    ended.counted = true;
    store(ended);
    statistics_.confirm(ended.id);
  }
  notify(ended);
}

void Dispatcher::notify(Job& ended) {
  if (!ended.mailed && !settings_.notify_email.empty())
    notifier_.send(Notifier::Channel::kMail, ended, settings_.instance, settings_.notify_email);
  if (!ended.hooked && !settings_.webhook_url.empty())
    notifier_.send(Notifier::Channel::kWebhook, ended, settings_.instance, settings_.webhook_url);
  // What was switched off meanwhile is owed to nobody.
  bool off =
      (!ended.mailed && settings_.notify_email.empty()) || (!ended.hooked && settings_.webhook_url.empty());
  if (!off) return;
  if (settings_.notify_email.empty()) ended.mailed = true;
  if (settings_.webhook_url.empty()) ended.hooked = true;
  store(ended);
}

void Dispatcher::take_notification_outcomes() {
  for (const Notifier::Outcome& outcome : notifier_.take_outcomes()) {
    auto found = jobs_.find(outcome.job);
    if (found == jobs_.end() || !has_ended(found->second.phase)) continue;
    if (!outcome.error.empty()) log_.error(outcome.error, fields_of(found->second));
    (outcome.channel == Notifier::Channel::kMail ? found->second.mailed : found->second.hooked) = true;
    store(found->second);
  }
}

void Dispatcher::forget_expired() {
  for (const std::string& id : expired(jobs_, settings_, now())) {
    const Job& old = job(id);
    if (old.phase != Phase::kDone)
      remove_traces_of_failure(settings_.output_dir, old, journal_.engine_manifest(id));
    log_.debug("is forgotten: it was kept long enough", fields_of(old));
    journal_.remove(id);
    jobs_.erase(id);
  }
  journal_.remove_refused_before(
      now() - std::chrono::duration_cast<std::chrono::seconds>(settings_.failed_retention).count());
}

void Dispatcher::add_to(std::vector<pollfd>& polled) const {
  polled.push_back({notifier_.descriptor(), POLLIN, 0});
  polled.push_back({claim_sync_.descriptor(), POLLIN, 0});
  for (const auto& [id, running] : running_)
    for (int fd : {running.conversion->output(), running.conversion->errors()})
      if (fd >= 0) polled.push_back({fd, POLLIN, 0});
}

void Dispatcher::stop() {
  stopping_ = true;
  for (auto& [id, running] : running_)
    if (!running.conversion->is_finishing()) running.conversion->ask_to_stop();
}

void Dispatcher::kill_running() {
  for (auto& [id, running] : running_) {
    running.conversion->ask_to_stop();
    running.conversion->kill();
  }
}

void Dispatcher::set_paused(bool paused) {
  journal_.set_paused(paused);
  log_.info(paused ? "The queue is paused: nothing new is started." : "The queue goes on.");
}

void Dispatcher::cancel(const std::string& id) {
  Job& wanted = job(id);
  if (has_ended(wanted.phase))
    throw Error(ErrorKind::kInvalid, "job " + id,
                "has ended already: " + std::string(to_string(wanted.phase)));
  wanted.cancel_requested = true;
  if (wanted.phase == Phase::kQueued) return end_cancelled(wanted);
  store(wanted);
  auto running = running_.find(id);
  if (running != running_.end()) running->second.conversion->ask_to_stop();
}

void Dispatcher::retry(const std::string& id) {
  Job& wanted = job(id);
  if (wanted.phase == Phase::kQueued || wanted.phase == Phase::kClaimed) {
    wanted.not_before = 0;
    store(wanted);
    return;
  }
  if (wanted.phase != Phase::kFailed && wanted.phase != Phase::kCancelled)
    throw Error(
        ErrorKind::kInvalid, "job " + id,
        "is " + std::string(to_string(wanted.phase)) + "; only what failed or was cancelled is tried again");
  statistics_.reopen(id);
  remove_failure(settings_.output_dir, wanted);
  wanted.phase = Phase::kQueued;
  wanted.failures = 0;
  wanted.not_before = 0;
  wanted.finished = 0;
  wanted.cancel_requested = false;
  wanted.counted = wanted.mailed = wanted.hooked = false;
  wanted.error.clear();
  store(wanted);
  log_.info("is tried again, as asked", fields_of(wanted));
}

double Dispatcher::bytes_per_second() const {
  double sum = 0;
  for (const auto& [id, running] : running_) sum += running.conversion->progress().bytes_per_second;
  return sum;
}

nlohmann::json Dispatcher::describe_job(const Job& of) const {
  auto running = running_.find(of.id);
  auto waiting = waiting_.find(of.id);
  return describe(of, running == running_.end() ? nullptr : &running->second.conversion->progress(),
                  waiting == waiting_.end() ? nullptr : &waiting->second);
}

std::string Dispatcher::status_text() const {
  std::vector<RunningJob> running;
  for (const auto& [id, one] : running_)
    running.push_back({jobs_.at(id).result_name, one.conversion->progress()});
  const char* state = stopping_ ? "stopping" : draining_ ? "draining" : paused() ? "paused" : "";
  return status_line(settings_.watch_dir, running, waiting(), state);
}

}  // namespace hyper2kvm::daemon
