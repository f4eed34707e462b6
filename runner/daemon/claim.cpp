#include "runner/daemon/claim.h"

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>

#include "runner/daemon/names.h"
#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::daemon {
namespace {

namespace fs = std::filesystem;
using os::Error;

constexpr std::size_t kLargestManifest = 16u << 20;

bool is_the_claimed_file(const fs::path& path, const Job& job, const std::string& bytes) {
  auto now = identity_of(path);
  if (!now || !(*now == job.file)) return false;
  try {
    return os::read_text(path, kLargestManifest) == bytes;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

Job begin_claim(Journal& journal, const std::string& file_name, const Submission& submission) {
  const contract::Manifest& manifest = submission.parsed.manifest;
  Job job;
  job.id = journal.make_directory();
  job.file_name = file_name;
  job.file = submission.file;
  job.submitted =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  job.vm_name = manifest.source.vm_name;
  ResultName name = result_name(job.vm_name);
  job.result_name = name.name;
  if (name.changed)
    job.warnings.push_back("The machine's name cannot be a file name; its results are called \"" + name.name +
                           "\".");
  job.provider = manifest.source.provider;
  for (const contract::Disk& disk : manifest.disks) {
    job.disks.push_back(contract::resolve_path(submission.parsed.path, disk.local_path).string());
    job.source_bytes += disk.bytes;
  }
  for (const std::string& warning : submission.parsed.warnings) job.warnings.push_back(warning);

  try {
    os::File copy = os::File::open(journal.submitted_manifest(job.id), os::File::Mode::kCreate);
    copy.write_at(0, std::as_bytes(std::span(submission.text.data(), submission.text.size())));
    copy.close();
    journal.place(job);
  } catch (...) {
    // A job that nobody knows must not come to life at the next start: its file is still in the queue.
    journal.remove(job.id);
    throw;
  }
  return job;
}

bool is_in_queue(const Journal& journal, const Job& job) {
  return is_the_claimed_file(journal.watch_dir() / job.file_name, job,
                             os::read_text(journal.submitted_manifest(job.id), kLargestManifest));
}

bool take_out(const Journal& journal, const Job& job) {
  fs::path queued = journal.watch_dir() / job.file_name;
  if (identity_of(journal.taken_file(job.id)) || !is_in_queue(journal, job)) return false;
  if (::rename(queued.c_str(), journal.taken_file(job.id).c_str()) == 0) return true;
  if (errno == ENOENT) return false;
  throw os::system_error(errno, "take out of the queue", queued.string(),
                         "Give the queue to the daemon's user (chown hyper2kvm:hyper2kvm).");
}

std::string settle_claim(const Journal& journal, const Job& job) {
  fs::path out = journal.taken_file(job.id);
  take_out(journal, job);
  if (!identity_of(out)) return "";
  std::string bytes = os::read_text(journal.submitted_manifest(job.id), kLargestManifest);
  if (is_the_claimed_file(out, job, bytes)) {
    if (::unlink(out.c_str()) != 0) throw os::system_error(errno, "remove", out.string());
    return "";
  }
  fs::path name = job.file_name;
  std::string fresh = name.stem().string().substr(0, 200) + "-" + job.id + name.extension().string();
  os::rename_no_replace(out, journal.watch_dir() / fresh);
  return fresh;
}

}  // namespace hyper2kvm::daemon
