#include "runner/daemon/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>

#include "runner/daemon/names.h"
#include "runner/os/error.h"

namespace hyper2kvm::daemon {
namespace {

namespace fs = std::filesystem;
using os::Error;
using os::ErrorKind;

constexpr std::size_t kLargestState = 16u << 20;

std::int64_t microseconds_now() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string text_of(const Job& job) {
  return to_json(job).dump(1, ' ', false, nlohmann::json::error_handler_t::replace);
}

FileIdentity identity_from(const struct stat& status) {
  return {static_cast<std::uint64_t>(status.st_dev), static_cast<std::uint64_t>(status.st_ino),
          static_cast<std::uint64_t>(status.st_size),
          static_cast<std::int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec};
}

}  // namespace

std::optional<FileIdentity> identity_of(const fs::path& path) {
  struct stat status;
  if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  return identity_from(status);
}

FileIdentity identity_of_descriptor(int fd) {
  struct stat status;
  if (::fstat(fd, &status) != 0) throw os::system_error(errno, "look at", "a file of the queue");
  return identity_from(status);
}

Journal::Journal(const fs::path& watch_dir) : watch_dir_(watch_dir), root_(watch_dir / ".hyper2kvm") {
  try {
    os::make_directories(root_ / "jobs");
    os::make_directories(root_ / "refused");
  } catch (const Error& error) {
    throw Error(ErrorKind::kSystem, watch_dir.string(), "cannot be used as the queue: " + error.problem(),
                "Give the directory to the daemon's user (chown hyper2kvm:hyper2kvm), and name it in "
                "ReadWritePaths= of a drop-in where it is not below /var/lib/hyper2kvm.",
                error.errno_value());
  }
  lock_ = os::UniqueFd(::open((root_ / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!lock_)
    throw os::system_error(errno, "open", (root_ / "lock").string(),
                           "Give the queue to the daemon's user (chown -R hyper2kvm:hyper2kvm).");
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0)
    throw Error(ErrorKind::kUsage, watch_dir.string(), "is the queue of another daemon that runs",
                "Give each instance a WATCH_DIR of its own.");
}

std::map<std::string, Job> Journal::load(std::vector<std::string>& problems) {
  std::map<std::string, Job> jobs;
  std::error_code code;
  fs::directory_iterator entries(root_ / "jobs", code);
  if (code) throw os::system_error(code.value(), "read", (root_ / "jobs").string());
  std::vector<std::string> unclaimed;
  for (const auto& entry : entries) {
    std::string id = entry.path().filename().string();
    if (!is_job_id(id)) continue;
    fs::path state = state_file(id);
    auto state_file = identity_of(state);
    if (!state_file || state_file->size == 0) {
      unclaimed.push_back(id);
      continue;
    }
    try {
      Job job = job_from_json(os::read_text(state, kLargestState), state.string());
      if (job.id != id)
        throw Error(ErrorKind::kInvalid, state.string(), "belongs to another job",
                    "Move the job's directory away.");
      if (was_undone(id, job))
        unclaimed.push_back(id);
      else
        jobs.emplace(id, std::move(job));
    } catch (const Error& error) {
      if (identity_of(taken_file(id)))
        unclaimed.push_back(id);
      else
        problems.push_back(error.sentence());
    }
  }
  // What was taken out of the queue is removed only after its job is durable, so nothing is lost with these.
  for (const std::string& id : unclaimed) {
    try {
      undo(id);
    } catch (const Error& error) {
      problems.push_back(error.sentence());
    }
  }
  return jobs;
}

bool Journal::was_undone(const std::string& id, const Job& job) const {
  if (job.phase != Phase::kClaimed) return false;
  auto copy = identity_of(submitted_manifest(id));
  if (copy && copy->size == job.file.size) return false;
  auto queued = identity_of(watch_dir_ / job.file_name);
  return identity_of(taken_file(id)) || (queued && *queued == job.file);
}

void Journal::undo(const std::string& id) {
  if (identity_of(taken_file(id)))
    os::rename_no_replace(taken_file(id), watch_dir_ / ("artifact-manifest-" + id + ".json"));
  std::error_code code;
  fs::remove_all(directory(id), code);
  if (code) throw os::system_error(code.value(), "remove", directory(id).string());
}

std::string Journal::make_directory() {
  while (true) {
    std::string id = make_job_id(microseconds_now(), salt_++);
    if (::mkdir(directory(id).c_str(), 0755) == 0) return id;
    if (errno != EEXIST) throw os::system_error(errno, "make the directory", directory(id).string());
  }
}

void Journal::store(const Job& job) { os::write_text_atomically(state_file(job.id), text_of(job)); }

void Journal::place(const Job& job) {
  fs::path fresh = directory(job.id) / ".job.json.new";
  std::string text = text_of(job);
  os::File file = os::File::open(fresh, os::File::Mode::kCreate);
  file.write_at(0, std::as_bytes(std::span(text.data(), text.size())));
  file.close();
  if (::rename(fresh.c_str(), state_file(job.id).c_str()) != 0)
    throw os::system_error(errno, "rename", fresh.string());
}

void Journal::remove(const std::string& id) {
  // The state goes last but one: a crash in between leaves either a whole job or an unclaimed directory.
  std::error_code code;
  fs::remove(state_file(id), code);
  fs::remove_all(directory(id), code);
  if (code) throw os::system_error(code.value(), "remove", directory(id).string());
}

fs::path Journal::refuse(const std::string& file_name, const std::string& reason) {
  fs::path to = root_ / "refused" / (make_job_id(microseconds_now(), salt_++) + "-" + harmless(file_name));
  os::write_text_atomically(to.string() + ".reason", reason + "\n");
  os::rename_no_replace(watch_dir_ / file_name, to);
  ::utimensat(AT_FDCWD, to.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);  // retention counts from now
  return to;
}

unsigned Journal::remove_refused_before(std::int64_t seconds_since_epoch) {
  unsigned removed = 0;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(root_ / "refused", code)) {
    struct stat status;
    if (::lstat(entry.path().c_str(), &status) != 0 || status.st_mtim.tv_sec >= seconds_since_epoch) continue;
    if (::unlink(entry.path().c_str()) == 0) removed += entry.path().extension() == ".reason" ? 0 : 1;
  }
  return removed;
}

unsigned Journal::refused() const {
  unsigned count = 0;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(root_ / "refused", code))
    if (entry.path().extension() == ".reason") ++count;
  return count;
}

bool Journal::paused() const { return ::access((root_ / "paused").c_str(), F_OK) == 0; }

void Journal::set_paused(bool paused) {
  if (paused) {
    os::write_text_atomically(root_ / "paused", "");
  } else if (::unlink((root_ / "paused").c_str()) != 0 && errno != ENOENT) {
    throw os::system_error(errno, "remove", (root_ / "paused").string());
  }
}

}  // namespace hyper2kvm::daemon
