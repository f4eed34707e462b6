// What happens in a job, told twice: to the report, and as events to whoever watches.
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>

#include "runner/contract/events.h"
#include "runner/contract/report.h"
#include "runner/os/error.h"

namespace hyper2kvm::pipeline {

// Thread-safe: stages that overlap record from their own threads.
class Record {
 public:
  Record(contract::Report& report, contract::EventSink& events) : report_(report), events_(events) {}

  // Runs body as the stage `name`; what it returns becomes the stage's result. Its error is recorded and
  // thrown on.
  void stage(const std::string& name, const std::function<nlohmann::json()>& body);
  // A stage that was done within another one.
  void done(const std::string& name, double duration_seconds, nlohmann::json result);

  void info(const std::string& stage, const std::string& message);
  void warning(const std::string& stage, const std::string& message);
  // The reason that the job failed.
  void error(const std::string& stage, const os::Error& error);
  // The stage that failed first for a reason of its own; where none has, the first that was stopped; empty
  // when neither is there.
  std::string failed_stage();
  void artifact(contract::Artifact artifact);
  void machine(contract::MachineFacts facts);
  void boot_facts(std::vector<contract::BootFact> facts);
  void boot(contract::BootTrial trial);
  void input(contract::InputFile input);
  void tool(const std::string& name, const std::string& version);
  contract::EventSink& events() { return events_; }

 private:
  void message(const std::string& stage, const std::string& text, contract::Severity severity);
  std::mutex mutex_;
  contract::Report& report_;
  contract::EventSink& events_;
  std::string cancelled_stage_;
  std::string failed_stage_;
};

}  // namespace hyper2kvm::pipeline
