// Log lines as JSON, one object a line: {"level":"info","ts":"...","msg":"...","controller":"..."}.
//
// The names of the fields are controller-runtime's, so that what reads the logs of other operators reads
// these.
#pragma once

#include <memory>
#include <string_view>

#include "operator/kube/clock.h"
#include "operator/kube/object.h"
#include "runner/os/error.h"

namespace hyper2kvm::kube {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Where whole lines go. Safe to call from any thread.
class LogSink {
 public:
  virtual ~LogSink() = default;
  // The line ends with "\n".
  virtual void write(std::string_view line) = 0;
};
// One write(2) a line.
std::shared_ptr<LogSink> log_to_descriptor(int descriptor);

// A handle: copies are cheap, and safe to use from any thread.
class Logger {
 public:
  // Says nothing.
  Logger() = default;
  Logger(std::shared_ptr<LogSink> sink, LogLevel lowest, Clock& clock = Clock::real());

  // The same logger, which adds these fields (an object) to each line.
  Logger with(const Json& fields) const;

  void debug(std::string_view message, const Json& fields = Json::object()) const;
  void info(std::string_view message, const Json& fields = Json::object()) const;
  void warning(std::string_view message, const Json& fields = Json::object()) const;
  void error(std::string_view message, const Json& fields = Json::object()) const;
  // With the error's sentence in the field "error".
  void error(std::string_view message, const os::Error& error, const Json& fields = Json::object()) const;

 private:
  void write(LogLevel level, std::string_view message, const Json& fields) const;

  std::shared_ptr<LogSink> sink_;
  LogLevel lowest_ = LogLevel::kError;
  Clock* clock_ = nullptr;
  // The fields of every line as text, ",\"name\":value" each.
  std::string fields_;
};

}  // namespace hyper2kvm::kube
