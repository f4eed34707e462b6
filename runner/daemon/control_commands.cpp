#include "runner/daemon/control_commands.h"

#include <unistd.h>

#include <map>
#include <nlohmann/json.hpp>

#include "runner/contract/version.h"
#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::daemon {
namespace {

using nlohmann::json;
using os::Error;
using os::ErrorKind;

json status(DaemonState& state) {
  const Dispatcher& dispatcher = state.dispatcher;
  const Settings& settings = dispatcher.settings();
  json current = json::array();
  for (const auto& [id, job] : dispatcher.jobs())
    if (job.phase == Phase::kRunning || job.phase == Phase::kPublishing)
      current.push_back(dispatcher.describe_job(job));
  return {
      {"instance", settings.instance.empty() ? "default" : settings.instance},
      {"version", contract::hyper2kvm_version()},
      {"pid", ::getpid()},
      {"started", std::chrono::duration_cast<std::chrono::seconds>(state.started.time_since_epoch()).count()},
      {"status", dispatcher.status_text()},
      {"paused", dispatcher.paused()},
      {"draining", dispatcher.draining()},
      {"watch_dir", settings.watch_dir.string()},
      {"output_dir", settings.output_dir.string()},
      {"settings", describe(settings)},
      {"queued", dispatcher.waiting()},
      {"running", current.size()},
      {"done", dispatcher.count(Phase::kDone)},
      {"failed", dispatcher.count(Phase::kFailed)},
      {"cancelled", dispatcher.count(Phase::kCancelled)},
      {"refused", dispatcher.refused_files()},
      {"jobs", std::move(current)}};
}

json stats(DaemonState& state) {
  json totals = to_json(state.dispatcher.totals());
  totals["queued"] = state.dispatcher.waiting();
  totals["running"] = state.dispatcher.count(Phase::kRunning);
  totals["bytes_per_second"] = state.dispatcher.bytes_per_second();
  return {{"stats", std::move(totals)}};
}

json list(DaemonState& state) {
  json jobs = json::array();
  for (const auto& [id, job] : state.dispatcher.jobs()) jobs.push_back(state.dispatcher.describe_job(job));
  return {{"jobs", std::move(jobs)}};
}

// A job may be called by its whole id, by the end of it that tells it from the others, or by the name of its
// machine, which means the newest job of that machine.
std::string job_of(DaemonState& state, const json& request) {
  std::string wanted = request.value("job", "");
  if (wanted.empty()) throw Error(ErrorKind::kUsage, "job", "is not named", "hyperctl jobs list shows all.");
  const Jobs& jobs = state.dispatcher.jobs();
  if (jobs.contains(wanted)) return wanted;
  std::string found, newest;
  bool several = false;
  for (const auto& [id, job] : jobs) {
    if (job.vm_name == wanted || job.result_name == wanted) newest = id;
    if (!id.ends_with(wanted)) continue;
    several = several || !found.empty();
    found = id;
  }
  if (!newest.empty()) return newest;
  if (several)
    throw Error(ErrorKind::kUsage, "job " + wanted, "could be several", "Name it by its whole id.");
  if (found.empty())
    throw Error(ErrorKind::kInvalid, "job " + wanted, "is not known", "hyperctl jobs list shows all.");
  return found;
}

json show(DaemonState& state, const json& request) {
  const Job& job = state.dispatcher.jobs().at(job_of(state, request));
  json result = {{"job", state.dispatcher.describe_job(job)}};
  if (has_ended(job.phase) && !job.report_path.empty()) {
    try {
      json report = json::parse(os::read_text(job.report_path, 16u << 20));
      // A newer job of the same machine has its report in the same place.
      if (report.at("input_manifest").at("path").get<std::string>().find(job.id) != std::string::npos)
        result["report"] = std::move(report);
    } catch (const std::exception&) {
      // It was removed, or never written: the job's own state says what there is to say.
    }
  }
  return result;
}

}  // namespace

json answer_command(DaemonState& state, const json& request) {
  std::string command = request.value("command", "");
  Dispatcher& dispatcher = state.dispatcher;
  if (command == "status") return status(state);
  if (command == "stats") return stats(state);
  if (command == "list") return list(state);
  if (command == "show") return show(state, request);
  state.changed = true;
  if (command == "pause" || command == "resume") {
    dispatcher.set_paused(command == "pause");
    return {{"paused", command == "pause"}};
  }
  if (command == "drain") {
    dispatcher.drain();
    return {{"draining", true}};
  }
  if (command == "stop") {
    state.stop_requested = true;
    return {{"stopping", true}};
  }
  if (command == "retry" || command == "cancel") {
    std::string id = job_of(state, request);
    command == "retry" ? dispatcher.retry(id) : dispatcher.cancel(id);
    return {{"job", dispatcher.describe_job(dispatcher.jobs().at(id))}};
  }
  throw Error(ErrorKind::kUsage, "command \"" + command + "\"", "is not known",
              "Use status, stats, pause, resume, drain, stop, list, show, retry or cancel.");
}

}  // namespace hyper2kvm::daemon
