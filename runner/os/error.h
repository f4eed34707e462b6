// The one error value of hyper2kvm.
//
// Every public function of every room reports failure by throwing os::Error and nothing else; foreign
// exceptions (JSON, YAML, the standard library) are turned into it at the edge of the room that uses them. An
// Error is a sentence about the user's thing, and says the next step where there is one. It is printed once,
// by the front end.
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace hyper2kvm::os {

// What a caller may do about an error, not where it came from.
enum class ErrorKind {
  kUsage,       // the command line or the configuration is wrong: exit status 2, never retried
  kUnreadable,  // the manifest (or what was given in its place) cannot be read as one: exit status 2, never
                // retried
  kInvalid,     // the input is understood and refused (damaged, hostile, unsupported): exit status 1, never
                // retried
  kSystem,      // the operating system or another program failed (ENOSPC, EIO, a timeout): exit status 1, may
                // pass on a retry
  kCancelled,   // SIGTERM, SIGINT or a caller's request: exit status 1, may be run again
  kInternal,    // a bug of ours: exit status 1
};

std::string_view to_string(ErrorKind kind);

// Immutable after construction but for add_context; copyable; safe to hand to another thread.
class Error : public std::exception {
 public:
  // subject: the user's thing (a path, a key, a domain). problem: what is wrong with it, no final stop.
  // advice: the next step as a whole sentence, may be empty. errno_value: 0 unless a system call failed.
  Error(ErrorKind kind, std::string subject, std::string problem, std::string advice = "",
        int errno_value = 0);

  const char* what() const noexcept override { return sentence_.c_str(); }
  // "SUBJECT: PROBLEM. ADVICE"
  const std::string& sentence() const noexcept { return sentence_; }

  ErrorKind kind() const noexcept { return kind_; }
  const std::string& subject() const noexcept { return subject_; }
  const std::string& problem() const noexcept { return problem_; }
  const std::string& advice() const noexcept { return advice_; }
  int errno_value() const noexcept { return errno_; }

  // 2 for what the caller must correct before anything can start, else 1.
  int exit_status() const noexcept;
  // True where the same job may succeed later without anybody changing it.
  bool may_pass() const noexcept { return kind_ == ErrorKind::kSystem || kind_ == ErrorKind::kCancelled; }

  // Returns the same error with "PREFIX: " before its subject, for a caller that knows which disk or stage it
  // was.
  // An empty prefix changes nothing.
  Error with_context(std::string_view prefix) const;

 private:
  ErrorKind kind_;
  std::string subject_;
  std::string problem_;
  std::string advice_;
  int errno_;
  std::string sentence_;
};

// An Error of kind kSystem for a failed call: "SUBJECT: cannot OPERATION: STRERROR". Knows the advice for
// ENOSPC, EACCES, EROFS, EMFILE and ENOENT when none is given. ENOENT and EACCES are kInvalid: they do not
// pass by waiting.
Error system_error(int errno_value, std::string_view operation, std::string_view subject,
                   std::string advice = "");

}  // namespace hyper2kvm::os
