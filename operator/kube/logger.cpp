#include "operator/kube/logger.h"

#include <unistd.h>

#include <cerrno>
#include <mutex>

#include "operator/kube/text.h"
#include "operator/kube/timestamp.h"

namespace hyper2kvm::kube {
namespace {

std::string fields_as_text(const Json& fields) {
  std::string text;
  if (!fields.is_object()) return text;
  for (const auto& [name, value] : fields.items()) text += "," + to_text(Json(name)) + ":" + to_text(value);
  return text;
}

class DescriptorSink final : public LogSink {
 public:
  explicit DescriptorSink(int descriptor) : descriptor_(descriptor) {}
  void write(std::string_view line) override {
    // A pipe takes long lines in parts; the lock keeps them together.
    std::lock_guard lock(mutex_);
    while (!line.empty()) {
      ssize_t written = ::write(descriptor_, line.data(), line.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return;  // nobody is left to be told
      line.remove_prefix(static_cast<std::size_t>(written));
    }
  }

 private:
  int descriptor_;
  std::mutex mutex_;
};

std::string_view name_of(LogLevel level) {
  static constexpr std::string_view kNames[] = {"debug", "info", "warn", "error"};
  return kNames[static_cast<int>(level)];
}

}  // namespace

std::shared_ptr<LogSink> log_to_descriptor(int descriptor) {
  return std::make_shared<DescriptorSink>(descriptor);
}

Logger::Logger(std::shared_ptr<LogSink> sink, LogLevel lowest, Clock& clock)
    : sink_(std::move(sink)), lowest_(lowest), clock_(&clock) {}

Logger Logger::with(const Json& fields) const {
  Logger logger = *this;
  logger.fields_ += fields_as_text(fields);
  return logger;
}

void Logger::debug(std::string_view message, const Json& fields) const {
  write(LogLevel::kDebug, message, fields);
}
void Logger::info(std::string_view message, const Json& fields) const {
  write(LogLevel::kInfo, message, fields);
}
void Logger::warning(std::string_view message, const Json& fields) const {
  write(LogLevel::kWarning, message, fields);
}
void Logger::error(std::string_view message, const Json& fields) const {
  write(LogLevel::kError, message, fields);
}
void Logger::error(std::string_view message, const os::Error& error, const Json& fields) const {
  Json with_error = fields;
  with_error["error"] = error.sentence();
  write(LogLevel::kError, message, with_error);
}

void Logger::write(LogLevel level, std::string_view message, const Json& fields) const {
  if (!sink_ || level < lowest_) return;
  std::string line = "{\"level\":\"" + std::string(name_of(level)) + "\",\"ts\":\"" +
                     to_micro_time(clock_->calendar()) + "\",\"msg\":" + to_text(Json(std::string(message))) +
                     fields_ + fields_as_text(fields) + "}\n";
  sink_->write(line);
}

}  // namespace hyper2kvm::kube
