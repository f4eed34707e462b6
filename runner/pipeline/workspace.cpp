#include "runner/pipeline/workspace.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include "runner/os/error.h"

namespace hyper2kvm::pipeline {
namespace {

constexpr const char* kPrefix = ".hyper2kvm-";

os::UniqueFd open_and_lock(const std::filesystem::path& directory) {
  os::UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd || ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return {};
  return fd;
}

bool still_named(const os::UniqueFd& fd, const std::filesystem::path& path) {
  struct stat open_one;
  struct stat named;
  return ::fstat(fd.get(), &open_one) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         open_one.st_ino == named.st_ino && open_one.st_dev == named.st_dev;
}

}  // namespace

void remove_abandoned_workspaces(const std::filesystem::path& output_directory) noexcept {
  try {
    for (const auto& entry : std::filesystem::directory_iterator(output_directory)) {
      if (entry.path().filename().string().rfind(kPrefix, 0) != 0 || entry.is_symlink() ||
          !entry.is_directory())
        continue;
      os::UniqueFd lock = open_and_lock(entry.path());
      if (!lock) continue;
      std::error_code ignored;
      std::filesystem::remove_all(entry.path(), ignored);
    }
  } catch (...) {
    // Tidying up after another job must never be the reason that this one fails.
  }
}

Workspace::Workspace(const std::filesystem::path& output_directory) {
  os::make_directories(output_directory);
  remove_abandoned_workspaces(output_directory);
  // Another job's tidying may take ours for abandoned between mkdtemp and flock; then we simply make another.
  for (int attempt = 0; attempt < 10; ++attempt) {
    std::string name = (output_directory / (std::string(kPrefix) + "XXXXXX")).string();
    if (::mkdtemp(name.data()) == nullptr)
      throw os::system_error(errno, "make a working directory in", output_directory.string());
    lock_ = open_and_lock(name);
    if (lock_ && still_named(lock_, name)) {
      path_ = name;
      return;
    }
    std::error_code ignored;
    std::filesystem::remove_all(name, ignored);
  }
  throw os::Error(os::ErrorKind::kSystem, output_directory.string(),
                  "a working directory in it cannot be locked", "Use a file system that supports flock(2).");
}

Workspace::~Workspace() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace hyper2kvm::pipeline
