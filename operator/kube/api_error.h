// An answer of the API server that is not a success.
//
// The server says what went wrong in a Status object (meta/v1): an HTTP code, a reason in one word, and a
// message. All three are kept, because a controller decides by the reason ("AlreadyExists" and "Conflict" are
// both 409, and mean opposite things) and a person reads the message.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "operator/kube/clock.h"
#include "operator/kube/object.h"
#include "runner/os/error.h"

namespace hyper2kvm::kube {

// meta/v1 Status, and the Retry-After header that may come with it.
struct ApiStatus {
  int code = 0;
  std::string reason;
  std::string message;
  std::optional<std::chrono::seconds> retry_after;

  // From the body of an answer. A body that is no Status (a proxy's HTML) gives a status with the code alone,
  // its reason filled in where the code has only one meaning.
  static ApiStatus from_body(int code, std::string_view body);
  // From the object of a watch's ERROR event.
  static ApiStatus from_json(const Json& status);
  // code: of the answer itself, which counts.
  static ApiStatus from_json(const Json& status, int code);
};

// Kinds: kSystem for what may pass by waiting or by reading again (401, 408, 409 Conflict, 410, 429, 5xx),
// else kInvalid.
class ApiError : public os::Error {
 public:
  // operation: "create", "list". subject: "jobs.batch default/a".
  ApiError(std::string_view operation, std::string_view subject, ApiStatus status);

  const ApiStatus& status() const noexcept { return status_; }
  int code() const noexcept { return status_.code; }
  const std::string& reason() const noexcept { return status_.reason; }

  bool is_not_found() const noexcept { return status_.code == 404; }
  // The object is there already: somebody, perhaps we, created it before.
  bool is_already_exists() const noexcept { return status_.reason == "AlreadyExists"; }
  // What was written was based on an old version: read it again and decide again.
  bool is_conflict() const noexcept { return status_.code == 409 && !is_already_exists(); }
  // The resource version or the continue token is too old: list again.
  bool is_gone() const noexcept { return status_.code == 410 || status_.reason == "Expired"; }
  bool is_forbidden() const noexcept { return status_.code == 403; }
  bool is_unauthorized() const noexcept { return status_.code == 401; }

 private:
  ApiStatus status_;
};

}  // namespace hyper2kvm::kube
