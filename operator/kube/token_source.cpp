#include "operator/kube/token_source.h"

#include <algorithm>
#include <cerrno>

#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::kube {
namespace {

constexpr std::size_t kTokenLimit = 64 << 10;

// A token goes into a header line: nothing that could end the line.
std::string checked(std::string token, const std::string& subject) {
  token.erase(0, token.find_first_not_of(" \t\r\n"));
  token.erase(token.find_last_not_of(" \t\r\n") + 1);
  if (std::any_of(token.begin(), token.end(), [](char c) { return c <= ' ' || c > '~'; }))
    throw os::Error(os::ErrorKind::kUsage, subject, "is not a bearer token",
                    "It must be one line without spaces.");
  return token;
}

}  // namespace

TokenSource::TokenSource(std::string token, std::filesystem::path file)
    : token_(checked(std::move(token), "the token")), file_(std::move(file)) {}

std::string TokenSource::token() {
  std::lock_guard lock(mutex_);
  if (file_.empty()) return token_;
  struct stat now {};
  if (::stat(file_.c_str(), &now) != 0) {
    // The kubelet swaps a symlink; between two looks the old token is still good.
    if (seen_) return token_;
    throw os::Error(os::ErrorKind::kSystem, file_.string(), "holds no token yet", "", errno);
  }
  bool same = seen_ && seen_->device == now.st_dev && seen_->inode == now.st_ino &&
              seen_->size == now.st_size && seen_->modified.tv_sec == now.st_mtim.tv_sec &&
              seen_->modified.tv_nsec == now.st_mtim.tv_nsec;
  if (!same) {
    try {
      read_file();
    } catch (const os::Error&) {
      if (!seen_) throw;
      return token_;  // it is being replaced right now; the next request looks again
    }
    seen_ = Seen{now.st_dev, now.st_ino, now.st_size, now.st_mtim};
  }
  return token_;
}

bool TokenSource::refresh(const std::string& refused) {
  std::lock_guard lock(mutex_);
  if (file_.empty()) return token_ != refused;
  read_file();
  return token_ != refused;
}

void TokenSource::read_file() { token_ = checked(os::read_text(file_, kTokenLimit), file_.string()); }

}  // namespace hyper2kvm::kube
