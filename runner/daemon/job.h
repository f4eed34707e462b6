// A job as the journal keeps it: one small JSON file, job.json, in a directory of the job's own.
//
//   kClaimed    its manifest is in the job's directory and on its way to the disk; the queue's file may
//               still be there.
//               In the journal this stands for kQueued too, until something else is to be told: a job that
//               may be started is known by this that nothing of the queue's file is left
//   kQueued     waits for a slot, for its time (back-off) or for space
//   kRunning    an attempt was begun. After a crash: the attempt's report says whether it had succeeded
//   kPublishing the conversion succeeded and its result is recorded; hyperexport's names are being made
//   kDone, kFailed, kCancelled    ended; what is left to do (counting, notifying) has flags of its own
//
// Every other change of phase is one write_text_atomically, made before anything that depends on it. Values;
// not thread-safe. Source: docs/daemon.md, "The journal".
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace hyper2kvm::daemon {

enum class Phase { kClaimed, kQueued, kRunning, kPublishing, kDone, kFailed, kCancelled };

std::string_view to_string(Phase phase);
inline bool has_ended(Phase phase) { return phase >= Phase::kDone; }

// Which file in the queue a job was made from: tells a file that is still ours to remove from one that was
// written again.
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t modified_nanoseconds = 0;  // since the epoch
  bool operator==(const FileIdentity&) const = default;
};

struct Job {
  std::string id;  // sorts by time of submission
  Phase phase = Phase::kClaimed;
  std::string file_name;  // in the queue
  FileIdentity file;
  // Seconds since the epoch; 0: not yet.
  std::int64_t submitted = 0;
  std::int64_t not_before = 0;  // kQueued: when the next attempt may begin
  std::int64_t started = 0;     // of the latest attempt
  std::int64_t finished = 0;

  std::string vm_name;      // as in the manifest
  std::string result_name;  // what its results are called
  std::string provider;
  std::string format;              // of the output
  std::vector<std::string> disks;  // absolute paths
  std::uint64_t source_bytes = 0;  // of all disks' files

  unsigned attempts = 0;        // begun
  unsigned failures = 0;        // attempts that failed; what RETRY_LIMIT counts
  unsigned interruptions = 0;   // attempts that a stop or a crash of the daemon ended
  bool register_begun = false;  // an attempt got as far as registering with libvirt
  bool cancel_requested = false;

  std::string error;        // of the latest failure: one sentence
  std::string output_path;  // of the boot disk
  std::string report_path;
  std::vector<std::string> warnings;
  double duration_seconds = 0;  // of the successful attempt
  std::uint64_t output_bytes = 0;

  // What an ended job still owes the world.
  bool counted = false;  // in the statistics
  bool mailed = false;
  bool hooked = false;
};

// As it stands in sentences for people.
inline const std::string& machine_name(const Job& job) {
  return job.vm_name.empty() ? job.result_name : job.vm_name;
}

nlohmann::json to_json(const Job& job);
// Throws os::Error (kInvalid) when it is none: the journal was damaged from outside.
Job job_from_json(std::string_view text, std::string_view name);

// "20260131-235959-123456-7f", from microseconds since the epoch and a number that makes it unique.
std::string make_job_id(std::int64_t microseconds, unsigned salt);
bool is_job_id(std::string_view text);

}  // namespace hyper2kvm::daemon
