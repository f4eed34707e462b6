#include "runner/daemon/ending.h"

#include <fmt/format.h>

namespace hyper2kvm::daemon {
namespace {

Ending failure(std::string error, bool may_pass) {
  return {Ending::Kind::kFailed, std::move(error), may_pass};
}

}  // namespace

Ending ending_of(const EndedConversion& ended, const Job& job, const Settings& settings) {
  if (ended.verdict && ended.verdict->success) return {Ending::Kind::kConverted, "", false};
  if (job.cancel_requested) return {Ending::Kind::kCancelled, "", false};
  if (ended.timed_out)
    return failure(
        fmt::format("{}: took longer than {} minutes and was ended. Raise CONVERSION_TIMEOUT where "
                    "that is too short for this machine.",
                    machine_name(job), settings.conversion_timeout.count() / 60.0),
        true);
  if (ended.asked_to_stop) return {Ending::Kind::kInterrupted, "", false};
  if (ended.status.success())
    return failure("The conversion ended without a report. Look at the daemon's log.", true);
  if (ended.result && !ended.result->message.empty())
    return failure(ended.result->message, ended.result->may_pass);
  const std::string& words =
      ended.verdict && !ended.verdict->error.empty() ? ended.verdict->error : ended.last_words;
  const bool killed = ended.status.signalled;
  return failure(
      fmt::format("The conversion {}{}{}", ended.status.description(), words.empty() ? "." : ": " + words,
                  killed ? " Where that was the memory limit, raise MemoryMax= in a drop-in." : ""),
      killed);
}

}  // namespace hyper2kvm::daemon
