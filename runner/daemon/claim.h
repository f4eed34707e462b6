// Takes a manifest out of the queue, so that it becomes one job: not none, not two.
//
//   read ─► jobs/ID/manifest, job.json (kClaimed) ─► rename queue/NAME to jobs/ID/submitted: it is taken
//        ─► all of it durable (ClaimSync) ─► still what was read? ─ yes ─► submitted is removed
//                                                                └ no ──► back into the queue under a name of
//                                                                         its own: it is the next job
//
// No step of the first line waits for a disk, so that a manifest is taken at once whatever else the disk has
// to do. The bytes are copied before the name is touched: a kill at any point leaves the queue's file or a
// whole job. A power cut may leave a job whose copy never reached the disk; then submitted is still there,
// because it is removed only after that, and Journal::load() puts it back into the queue. A writer that
// overwrites the same name in any of these moments makes a second job and costs the first nothing: every
// manifest of hyperexport has the same name. Each step may be repeated after a crash. Not thread-safe. Throws
// os::Error.
#pragma once

#include <string>

#include "runner/daemon/journal.h"
#include "runner/daemon/submission.h"

namespace hyper2kvm::daemon {

// Makes the job; its file is still in the queue. submission must be kReady.
Job begin_claim(Journal& journal, const std::string& file_name, const Submission& submission);

// The file that was claimed is in the queue, as it was.
bool is_in_queue(const Journal& journal, const Job& job);

// Moves the claimed file out of the queue; false where it is not there any more (taken out before, or
// something else stands under its name).
bool take_out(const Journal& journal, const Job& job);

// Once the job is durable: removes what take_out() moved; does that first where it was not done. Returns the
// name that a different manifest under the claimed name was given, or an empty string.
std::string settle_claim(const Journal& journal, const Job& job);

}  // namespace hyper2kvm::daemon
