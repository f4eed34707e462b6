// What a conversion that has ended means for its job: a pure function of what is known of it.
//
// Its report goes over everything else: a machine that was published is done, whatever ended the program
// afterwards. A program that was asked to end failed at nothing, unless it was asked because its time was
// over.
#pragma once

#include <optional>
#include <string>

#include "runner/contract/events.h"
#include "runner/daemon/job.h"
#include "runner/daemon/results.h"
#include "runner/daemon/settings.h"
#include "runner/os/process.h"

namespace hyper2kvm::daemon {

struct EndedConversion {
  std::optional<Verdict> verdict;         // of its report
  std::optional<contract::Event> result;  // its last event
  std::string last_words;                 // on stderr
  os::ExitStatus status;
  bool asked_to_stop = false;
  bool timed_out = false;
};

struct Ending {
  enum class Kind { kConverted, kCancelled, kInterrupted, kFailed };
  Kind kind = Kind::kConverted;
  std::string error;      // of a failure: a sentence
  bool may_pass = false;  // of a failure: the next attempt may succeed with nothing changed
};

Ending ending_of(const EndedConversion& ended, const Job& job, const Settings& settings);

}  // namespace hyper2kvm::daemon
