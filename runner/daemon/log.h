// The daemon's log: the journal, with fields to search by, where systemd started us; lines on stderr else.
//
// Journal fields beside MESSAGE and PRIORITY: INSTANCE, JOB, VM, STAGE, each only where it applies.
// Thread-safe; nothing throws.
#pragma once

#include <string>
#include <string_view>

#include "runner/contract/events.h"
#include "runner/daemon/job.h"

namespace hyper2kvm::daemon {

struct LogFields {
  std::string job;
  std::string vm;
  std::string stage;
};

// What a reader sees: "web01: fix: done in 1.5 s", on one line whatever is in it.
std::string log_text(std::string_view message, const LogFields& fields);

class Log {
 public:
  explicit Log(std::string instance);
  void set_level(contract::Severity level) { level_ = level; }
  bool shows(contract::Severity severity) const { return severity >= level_; }
  void write(contract::Severity severity, std::string_view message, const LogFields& fields = {}) noexcept;

  void debug(std::string_view message, const LogFields& fields = {}) {
    write(contract::Severity::kDebug, message, fields);
  }
  void info(std::string_view message, const LogFields& fields = {}) {
    write(contract::Severity::kInfo, message, fields);
  }
  void warning(std::string_view message, const LogFields& fields = {}) {
    write(contract::Severity::kWarning, message, fields);
  }
  void error(std::string_view message, const LogFields& fields = {}) {
    write(contract::Severity::kError, message, fields);
  }

 private:
  std::string instance_;
  contract::Severity level_ = contract::Severity::kInfo;
  bool to_journal_ = false;
};

inline LogFields fields_of(const Job& job, std::string stage = "") {
  return {job.id, job.vm_name, std::move(stage)};
}

}  // namespace hyper2kvm::daemon
