#include "operator/kube/api_error.h"

#include <algorithm>

#include "operator/kube/text.h"

namespace hyper2kvm::kube {
namespace {

// A message is quoted into logs, conditions and events; a proxy's page would drown them.
constexpr std::size_t kMessageLimit = 2048;

std::string reason_of_code(int code) {
  switch (code) {
    case 400:
      return "BadRequest";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "NotFound";
    case 405:
      return "MethodNotAllowed";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 413:
      return "RequestEntityTooLarge";
    case 415:
      return "UnsupportedMediaType";
    case 422:
      return "Invalid";
    case 429:
      return "TooManyRequests";
    case 500:
      return "InternalError";
    case 503:
      return "ServiceUnavailable";
    case 504:
      return "Timeout";
    default:
      return "Unknown";
  }
}

os::ErrorKind kind_of(const ApiStatus& status) {
  bool may_pass = status.code == 401 || status.code == 408 || status.code == 410 || status.code == 429 ||
                  status.code >= 500 || (status.code == 409 && status.reason != "AlreadyExists");
  return may_pass ? os::ErrorKind::kSystem : os::ErrorKind::kInvalid;
}

std::string problem_of(std::string_view operation, const ApiStatus& status) {
  std::string problem = "cannot " + std::string(operation) + ": ";
  if (!status.message.empty()) problem += status.message + " ";
  problem += "(" + status.reason + ", " + std::to_string(status.code) + ")";
  return problem;
}

std::string advice_for(std::string_view operation, std::string_view subject, const ApiStatus& status) {
  if (status.code == 403)
    return "Bind a Role with the verb \"" + std::string(operation) + "\" on " +
           std::string(subject.substr(0, subject.find(' '))) + " to the account that this program runs as.";
  if (status.code == 401)
    return "Check that the token or the client certificate is still valid for this cluster.";
  return "";
}

}  // namespace

ApiStatus ApiStatus::from_json(const Json& status) {
  return from_json(status, static_cast<int>(std::clamp<std::int64_t>(integer_at(status, {"code"}), 0, 999)));
}

ApiStatus ApiStatus::from_json(const Json& status, int code) {
  ApiStatus result;
  result.code = code;
  result.reason = text_at(status, {"reason"});
  result.message = text_at(status, {"message"});
  if (result.reason.empty()) result.reason = reason_of_code(result.code);
  result.message = cut(result.message, kMessageLimit);
  std::int64_t seconds = integer_at(status, {"details", "retryAfterSeconds"});
  if (seconds > 0) result.retry_after = std::chrono::seconds(std::min<std::int64_t>(seconds, 3600));
  return result;
}

ApiStatus ApiStatus::from_body(int code, std::string_view body) {
  Json parsed = Json::parse(body, nullptr, false);
  if (parsed.is_object() && text_at(parsed, {"kind"}) == "Status") return from_json(parsed, code);
  ApiStatus result{code, reason_of_code(code), "", std::nullopt};
  // Plain text is what the server's outer layers answer ("404 page not found").
  if (body.size() < 200 && body.find('<') == std::string_view::npos) {
    result.message = body;
    while (!result.message.empty() && result.message.back() == '\n') result.message.pop_back();
  }
  return result;
}

ApiError::ApiError(std::string_view operation, std::string_view subject, ApiStatus status)
    : os::Error(kind_of(status), std::string(subject), problem_of(operation, status),
                advice_for(operation, subject, status)),
      status_(std::move(status)) {}

}  // namespace hyper2kvm::kube
