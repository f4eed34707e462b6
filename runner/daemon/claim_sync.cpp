#include "runner/daemon/claim_sync.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "runner/os/error.h"

namespace hyper2kvm::daemon {
namespace {

using os::Error;

// So many jobs wait for one another at most.
constexpr std::size_t kTogether = 512;

void begin_writing(const Journal& journal, const std::string& job) {
  for (const std::filesystem::path& path : {journal.submitted_manifest(job), journal.state_file(job)}) {
    os::File file = os::File::open(path, os::File::Mode::kRead);
    ::sync_file_range(file.fd(), 0, 0, SYNC_FILE_RANGE_WRITE);  // what fails here fails again in its sync
  }
}

void sync_all(const Journal& journal, const std::string& job) {
  for (const std::filesystem::path& path : {journal.submitted_manifest(job), journal.state_file(job)})
    os::File::open(path, os::File::Mode::kRead).sync();
  os::sync_directory(journal.directory(job));
}

}  // namespace

void make_claim_durable(const Journal& journal, const std::string& job) {
  sync_all(journal, job);
  os::sync_directory(journal.directory(job).parent_path());
}

ClaimSync::ClaimSync(const Journal& journal) : journal_(journal), wake_(os::make_pipe()) {
  for (int fd : {wake_.read_end.get(), wake_.write_end.get()}) ::fcntl(fd, F_SETFL, O_NONBLOCK);
  thread_ = std::thread([this] { work(); });
}

ClaimSync::~ClaimSync() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void ClaimSync::add(const std::string& job) {
  std::lock_guard lock(mutex_);
  waiting_.push_back(job);
  changed_.notify_all();
}

std::vector<ClaimSync::Outcome> ClaimSync::take_outcomes() {
  std::array<char, 256> ignored;
  while (::read(wake_.read_end.get(), ignored.data(), ignored.size()) > 0) {
  }
  std::vector<Outcome> taken;
  std::lock_guard lock(mutex_);
  taken.swap(outcomes_);
  return taken;
}

void ClaimSync::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
    if (ending_) return;
    auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(std::min(waiting_.size(), kTogether));
    std::vector<std::string> jobs(waiting_.begin(), end);
    waiting_.erase(waiting_.begin(), end);
    lock.unlock();
    auto begin = std::chrono::steady_clock::now();
    std::vector<Outcome> outcomes = sync(jobs);
    auto rest = 2 * (std::chrono::steady_clock::now() - begin);
    lock.lock();
    outcomes_.insert(outcomes_.end(), outcomes.begin(), outcomes.end());
    // A full pipe has told enough.
    [[maybe_unused]] ssize_t told = ::write(wake_.write_end.get(), "", 1);
    changed_.wait_for(lock, rest, [this] { return ending_; });
  }
}

std::vector<ClaimSync::Outcome> ClaimSync::sync(const std::vector<std::string>& jobs) const {
  std::vector<Outcome> outcomes;
  for (const std::string& job : jobs) outcomes.push_back({job, ""});
  for (auto step : {&begin_writing, &sync_all}) {
    for (Outcome& outcome : outcomes) {
      if (!outcome.error.empty()) continue;
      try {
        step(journal_, outcome.job);
      } catch (const Error& error) {
        outcome.error = error.sentence();
      }
    }
  }
  try {
    os::sync_directory(journal_.directory(jobs[0]).parent_path());
  } catch (const Error& error) {
    for (Outcome& outcome : outcomes)
      if (outcome.error.empty()) outcome.error = error.sentence();
  }
  return outcomes;
}

}  // namespace hyper2kvm::daemon
