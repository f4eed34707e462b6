#include "runner/daemon/log.h"

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace hyper2kvm::daemon {
namespace {

// systemd.exec(5), $JOURNAL_STREAM: "DEVICE:INODE" of the stream that it connected to the journal.
bool stderr_is_the_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat status;
  return stream != nullptr && ::fstat(2, &status) == 0 &&
         fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
}

int priority_of(contract::Severity severity) {
  switch (severity) {
    case contract::Severity::kDebug:
      return LOG_DEBUG;
    case contract::Severity::kInfo:
      return LOG_INFO;
    case contract::Severity::kWarning:
      return LOG_WARNING;
    case contract::Severity::kError:
      return LOG_ERR;
  }
  return LOG_INFO;
}

}  // namespace

std::string log_text(std::string_view message, const LogFields& fields) {
  std::string text;
  if (!fields.vm.empty() && !message.starts_with(fields.vm)) text += fields.vm + ": ";
  if (!fields.stage.empty()) text += fields.stage + ": ";
  text += message;
  // A name from a manifest makes no line of its own.
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  return text;
}

Log::Log(std::string instance) : instance_(std::move(instance)), to_journal_(stderr_is_the_journal()) {}

void Log::write(contract::Severity severity, std::string_view message, const LogFields& fields) noexcept {
  if (!shows(severity)) return;
  try {
    std::string shown = log_text(message, fields);
    if (!to_journal_) {
      std::string line = fmt::format("{}: ", contract::to_string(severity));
      if (!fields.job.empty()) line += fmt::format("[{}] ", fields.job);
      line += shown + "\n";
      [[maybe_unused]] ssize_t ignored = ::write(2, line.data(), line.size());
      return;
    }
    std::vector<std::string> texts{"MESSAGE=" + shown, fmt::format("PRIORITY={}", priority_of(severity)),
                                   "SYSLOG_IDENTIFIER=hyper2kvm",
                                   "INSTANCE=" + (instance_.empty() ? std::string("default") : instance_)};
    if (!fields.job.empty()) texts.push_back("JOB=" + fields.job);
    if (!fields.vm.empty()) texts.push_back("VM=" + fields.vm);
    if (!fields.stage.empty()) texts.push_back("STAGE=" + fields.stage);
    std::vector<iovec> entries;
    for (std::string& text : texts) entries.push_back({text.data(), text.size()});
    ::sd_journal_sendv(entries.data(), static_cast<int>(entries.size()));
  } catch (...) {
    // A message that cannot be written must not end a job.
  }
}

}  // namespace hyper2kvm::daemon
