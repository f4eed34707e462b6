// Takes a manifest out of the queue, so that it becomes one job: not none, not two.
//
//   read ─► jobs/ID/manifest, job.json (kClaimed), both durable ─► rename queue/NAME to jobs/ID/submitted
//        ─► still what was read? ─ yes ─► removed
//                               └ no ──► back into the queue under a name of its own: it is the next job
//
// The bytes are safe before the name is touched, so a writer that overwrites the same name in any of these
// moments makes a second job and costs the first nothing: every manifest of hyperexport has the same name.
// settle_claim() repeats the second half after a crash and may be run any number of times.
// Not thread-safe. Throws os::Error.
#pragma once

#include <string>

#include "runner/daemon/journal.h"
#include "runner/daemon/submission.h"

namespace hyper2kvm::daemon {

// Makes the first half durable: after this the job exists. submission must be kReady.
Job begin_claim(Journal& journal, const std::string& file_name, const Submission& submission);

// Gets the claimed file out of the queue. Returns the name that a different manifest under the claimed name
// was given, or an empty string.
std::string settle_claim(const Journal& journal, const Job& job);

}  // namespace hyper2kvm::daemon
