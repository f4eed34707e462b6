#include "runner/pipeline/record.h"

#include <exception>
#include <utility>

namespace hyper2kvm::pipeline {

using contract::Event;
using contract::Severity;

void Record::stage(const std::string& name, const std::function<nlohmann::json()>& body) {
  auto started = std::chrono::steady_clock::now();
  auto elapsed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  };
  events_.emit(Event{.kind = Event::Kind::kStageStarted, .stage = name});
  auto failed = [&](const os::Error& error) {
    double duration = elapsed();
    {
      std::lock_guard lock(mutex_);
      report_.stages.push_back({name, false, duration, nullptr, error.sentence()});
      std::string& slot = error.kind() == os::ErrorKind::kCancelled ? cancelled_stage_ : failed_stage_;
      if (slot.empty()) slot = name;
    }
    events_.emit(Event{.kind = Event::Kind::kStageEnded,
                       .stage = name,
                       .severity = Severity::kError,
                       .message = error.sentence(),
                       .success = false,
                       .duration_seconds = duration});
  };
  try {
    nlohmann::json result = body();
    done(name, elapsed(), std::move(result));
  } catch (const os::Error& error) {
    failed(error);
    throw;
  } catch (const std::exception& error) {
    // Every room promises os::Error; what comes here is a bug, and must still end the job in order.
    os::Error internal(os::ErrorKind::kInternal, "", std::string("an unexpected error: ") + error.what(),
                       "Please report it with the log of this job.");
    failed(internal);
    throw internal;
  }
}

void Record::done(const std::string& name, double duration_seconds, nlohmann::json result) {
  {
    std::lock_guard lock(mutex_);
    report_.stages.push_back({name, true, duration_seconds, std::move(result), ""});
  }
  events_.emit(Event{.kind = Event::Kind::kStageEnded,
                     .stage = name,
                     .success = true,
                     .duration_seconds = duration_seconds});
}

void Record::message(const std::string& stage, const std::string& text, Severity severity) {
  events_.emit(Event{.kind = Event::Kind::kMessage, .stage = stage, .severity = severity, .message = text});
}

void Record::info(const std::string& stage, const std::string& text) {
  message(stage, text, Severity::kInfo);
}

void Record::warning(const std::string& stage, const std::string& text) {
  {
    std::lock_guard lock(mutex_);
    report_.warnings.push_back({stage, text, std::chrono::system_clock::now()});
  }
  message(stage, text, Severity::kWarning);
}

void Record::error(const std::string& stage, const os::Error& error) {
  std::lock_guard lock(mutex_);
  report_.errors.push_back({stage, error.sentence(), std::chrono::system_clock::now()});
}

std::string Record::failed_stage() {
  std::lock_guard lock(mutex_);
  return failed_stage_.empty() ? cancelled_stage_ : failed_stage_;
}

void Record::artifact(contract::Artifact artifact) {
  std::lock_guard lock(mutex_);
  report_.artifacts.push_back(std::move(artifact));
}

void Record::machine(contract::MachineFacts facts) {
  std::lock_guard lock(mutex_);
  report_.machine = std::move(facts);
}

void Record::boot_facts(std::vector<contract::BootFact> facts) {
  std::lock_guard lock(mutex_);
  report_.boot_facts = std::move(facts);
}

void Record::boot(contract::BootTrial trial) {
  std::lock_guard lock(mutex_);
  report_.boot = std::move(trial);
}

void Record::input(contract::InputFile input) {
  std::lock_guard lock(mutex_);
  report_.inputs.push_back(std::move(input));
}

void Record::tool(const std::string& name, const std::string& version) {
  std::lock_guard lock(mutex_);
  report_.tools[name] = version;
}

}  // namespace hyper2kvm::pipeline
