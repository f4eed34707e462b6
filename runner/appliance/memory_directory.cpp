#include "runner/appliance/memory_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

#include "runner/os/error.h"

namespace hyper2kvm::appliance {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "hyper2kvm-appliance";
// mkdtemp's own part of the name, with the dash in front.
constexpr std::size_t kSuffixLength = 7;
// Each lost round needs another process that looks at this very moment.
constexpr int kMostRounds = 100;

os::UniqueFd open_directory(const fs::path& path) {
  return os::UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

int lock(int directory, int operation) {
  int result = 0;
  do result = ::flock(directory, operation);
  while (result != 0 && errno == EINTR);
  return result;
}

// Whether the path still leads to what is open.
bool is_still_there(int directory, const fs::path& path) {
  struct stat held {
  }, found{};
  return ::fstat(directory, &held) == 0 && ::lstat(path.c_str(), &found) == 0 &&
         held.st_dev == found.st_dev && held.st_ino == found.st_ino;
}

bool is_named_like_ours(std::string_view name) {
  return name.size() == kPrefix.size() + kSuffixLength && name.starts_with(kPrefix) &&
         name[kPrefix.size()] == '-';
}

void remove_left_behind(const fs::path& parent) {
  std::error_code failed;
  for (fs::directory_iterator entry(parent, failed), end; !failed && entry != end; entry.increment(failed)) {
    if (!is_named_like_ours(entry->path().filename().string())) continue;
    os::UniqueFd directory = open_directory(entry->path());
    struct stat status {};
    if (!directory || ::fstat(directory.get(), &status) != 0 || status.st_uid != ::geteuid()) continue;
    // Its owner holds the lock for as long as it lives.
    if (lock(directory.get(), LOCK_EX | LOCK_NB) != 0 || !is_still_there(directory.get(), entry->path()))
      continue;
    std::error_code ignored;
    fs::remove_all(entry->path(), ignored);
  }
}

}  // namespace

MemoryDirectory::MemoryDirectory(const fs::path& parent) {
  remove_left_behind(parent);
  for (int round = 0; round < kMostRounds; ++round) {
    directory_.emplace(kPrefix, parent);
    lock_ = open_directory(directory_->path());
    if (!lock_) {
      if (errno == ENOENT) continue;
      throw os::system_error(errno, "open", directory_->path().string());
    }
    // Without locks nobody else gets one either, and so nobody removes it.
    lock(lock_.get(), LOCK_EX);
    if (is_still_there(lock_.get(), directory_->path())) return;
  }
  throw os::Error(os::ErrorKind::kSystem, parent.string(),
                  "every directory for the appliance's memory that is made there vanishes at once",
                  "Name another place in TMPDIR.");
}

}  // namespace hyper2kvm::appliance
