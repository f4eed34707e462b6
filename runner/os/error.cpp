#include "runner/os/error.h"

#include <cerrno>
#include <cstring>
#include <utility>

namespace hyper2kvm::os {
namespace {

std::string make_sentence(const std::string& subject, const std::string& problem, const std::string& advice) {
  std::string sentence = subject.empty() ? problem : subject + ": " + problem;
  if (!advice.empty()) sentence += ". " + advice;
  return sentence;
}

std::string default_advice(int errno_value) {
  switch (errno_value) {
    case ENOSPC:
    case EDQUOT:
      return "Free some space there or choose another directory.";
    case EACCES:
    case EPERM:
      return "Give the user that runs hyper2kvm the right to it.";
    case EROFS:
      return "The file system is read-only: choose another place or make it writable for hyper2kvm.";
    case EMFILE:
    case ENFILE:
      return "Raise the limit of open files.";
    default:
      return "";
  }
}

}  // namespace

std::string_view to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kUsage:
      return "usage";
    case ErrorKind::kUnreadable:
      return "unreadable";
    case ErrorKind::kInvalid:
      return "invalid";
    case ErrorKind::kSystem:
      return "system";
    case ErrorKind::kCancelled:
      return "cancelled";
    case ErrorKind::kInternal:
      return "internal";
  }
  return "internal";
}

Error::Error(ErrorKind kind, std::string subject, std::string problem, std::string advice, int errno_value)
    : kind_(kind),
      subject_(std::move(subject)),
      problem_(std::move(problem)),
      advice_(std::move(advice)),
      errno_(errno_value),
      sentence_(make_sentence(subject_, problem_, advice_)) {}

int Error::exit_status() const noexcept {
  return kind_ == ErrorKind::kUsage || kind_ == ErrorKind::kUnreadable ? 2 : 1;
}

Error Error::with_context(std::string_view prefix) const {
  if (prefix.empty()) return *this;
  std::string subject(prefix);
  if (!subject_.empty()) subject += ": " + subject_;
  return Error(kind_, std::move(subject), problem_, advice_, errno_);
}

Error system_error(int errno_value, std::string_view operation, std::string_view subject,
                   std::string advice) {
  bool lasting = errno_value == ENOENT || errno_value == EACCES || errno_value == EPERM ||
                 errno_value == EROFS || errno_value == ENOTDIR || errno_value == EISDIR ||
                 errno_value == ELOOP || errno_value == ENAMETOOLONG;
  if (advice.empty()) advice = default_advice(errno_value);
  return Error(lasting ? ErrorKind::kInvalid : ErrorKind::kSystem, std::string(subject),
               "cannot " + std::string(operation) + ": " + std::strerror(errno_value), std::move(advice),
               errno_value);
}

}  // namespace hyper2kvm::os
