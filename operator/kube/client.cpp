#include "operator/kube/client.h"

#include <algorithm>
#include <charconv>

#include "operator/kube/cpprest_transport.h"
#include "operator/kube/text.h"

namespace hyper2kvm::kube {
namespace {

using os::Error;
using os::ErrorKind;
using std::chrono::milliseconds;

constexpr std::size_t kBodyLimit = 256u << 20;
constexpr unsigned kConflictTries = 5;
constexpr unsigned kExpiredListTries = 3;

// "a=1&b=2", values escaped, empty values left out.
class Query {
 public:
  Query& add(std::string_view name, std::string_view value) {
    if (value.empty()) return *this;
    text_ += text_.empty() ? '?' : '&';
    text_ += name;
    text_ += '=';
    text_ += percent_encode(value);
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

Query query_of(const Selection& selection) {
  Query query;
  query.add("labelSelector", selection.label_selector).add("fieldSelector", selection.field_selector);
  return query;
}

std::string subject_of(const ResourceType& type, const ObjectKey& key) {
  return type.qualified_name() + (key.name.empty() ? "" : " " + key.to_string());
}

// Retry-After in seconds; the other spelling, a date, is never sent by an API server.
std::optional<std::chrono::seconds> retry_after(const HttpAnswer& answer) {
  auto header = answer.headers.find("retry-after");
  if (header == answer.headers.end()) return std::nullopt;
  unsigned seconds = 0;
  const std::string& text = header->second;
  auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return std::chrono::seconds(seconds);
}

// The body of an answer that is no success. The code says most of it, so a connection that breaks here is no
// other error.
std::string read_refusal(HttpBody& body, milliseconds patience, const std::stop_token& stop) {
  std::string text;
  try {
    while (text.size() < (1u << 20) && body.read(text, patience, stop)) {
    }
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kCancelled) throw;
  }
  return text;
}

Json delete_body(const DeleteOptions& options) {
  static constexpr const char* kNames[] = {"Background", "Foreground", "Orphan"};
  Json body = {{"kind", "DeleteOptions"},
               {"apiVersion", "v1"},
               {"propagationPolicy", kNames[static_cast<int>(options.propagation)]}};
  if (!options.uid.empty()) body["preconditions"]["uid"] = options.uid;
  if (options.grace_period) body["gracePeriodSeconds"] = options.grace_period->count();
  return body;
}

}  // namespace

struct Client::Core {
  std::shared_ptr<Transport> transport;
  std::shared_ptr<TokenSource> tokens;
  Options options;
  std::stop_source cut;
};

// Stops when either of two stops is requested.
struct Client::Bound {
  // owner: of the first stop, if that is itself a Bound.
  Bound(const std::stop_token& a, std::shared_ptr<Bound> owner, const std::stop_token& b)
      : first_owner(std::move(owner)),
        first(a, [this] { both.request_stop(); }),
        second(b, [this] { both.request_stop(); }) {}
  std::shared_ptr<Bound> first_owner;
  std::stop_source both;
  std::stop_callback<std::function<void()>> first;
  std::stop_callback<std::function<void()>> second;
};

// One request of the API, and how to speak of it.
struct Client::Call {
  std::string verb;     // "create"
  std::string subject;  // "jobs.batch default/a"
  std::string method;
  std::string target;
  std::string body;
  std::string content_type = "application/json";
  bool is_log = false;
};

Client::Client(std::shared_ptr<Transport> transport, std::shared_ptr<TokenSource> tokens, Options options)
    : core_(std::make_shared<Core>(Core{std::move(transport), std::move(tokens), std::move(options), {}})) {}

Client Client::connect(const Config& config, Options options) {
  return Client(make_cpprest_transport(config),
                std::make_shared<TokenSource>(config.token, config.token_file), std::move(options));
}

Client Client::bound_to(std::stop_token other) const {
  Client bound = *this;
  bound.bound_ = std::make_shared<Bound>(stop(), bound_, other);
  return bound;
}

Client Client::separate(Options options) const {
  return Client(core_->transport, core_->tokens, std::move(options));
}

const Client::Options& Client::options() const { return core_->options; }

void Client::cut() const { core_->cut.request_stop(); }

std::stop_token Client::stop() const { return bound_ ? bound_->both.get_token() : core_->cut.get_token(); }

// An answer that is a success, its body unread, and when the try began that brought it.
struct Client::Opened {
  HttpAnswer answer;
  Time begun;
};

// Sends until there is a success.
Client::Opened Client::open(const Call& call) const {
  const Options& options = core_->options;
  Clock& clock = *options.clock;
  std::stop_token stopped = stop();
  bool token_was_refused = false;
  for (unsigned tries = 0;; ++tries) {
    if (stopped.stop_requested())
      throw Error(ErrorKind::kCancelled, call.subject, "cannot " + call.verb + ": this program stops");
    HttpRequest request{call.method, call.target, {}, call.body};
    request.headers.emplace_back("Accept", call.is_log ? "*/*" : "application/json");
    request.headers.emplace_back("User-Agent", options.user_agent);
    if (!call.body.empty()) request.headers.emplace_back("Content-Type", call.content_type);
    std::string token = core_->tokens->token();
    if (!token.empty()) request.headers.emplace_back("Authorization", "Bearer " + token);

    Time started = clock.now();
    RequestRecord record{call.method, core_->transport->host(), 0, {}};
    auto observe = [&](int code) {
      record.code = code;
      record.time = clock.now() - started;
      if (options.observer) options.observer(record);
    };
    HttpAnswer answer;
    try {
      answer = core_->transport->send(request, options.timeout, stopped);
    } catch (const Error& error) {
      observe(0);
      throw error.with_context(call.subject);
    }
    observe(answer.status);
    if (answer.status >= 200 && answer.status < 300) return {std::move(answer), started};

    ApiStatus status =
        ApiStatus::from_body(answer.status, read_refusal(*answer.body, options.timeout, stopped));
    if (auto wait = retry_after(answer)) status.retry_after = wait;
    if (status.code == 401 && !token_was_refused && core_->tokens->refresh(token)) {
      token_was_refused = true;
      continue;
    }
    if (status.code == 429 && !status.retry_after) status.retry_after = std::chrono::seconds(1);
    bool again = (status.code == 429 || (status.code >= 500 && retry_after(answer))) &&
                 tries < options.retries && *status.retry_after <= options.longest_wait;
    if (!again) throw ApiError(call.verb, call.subject, status);
    clock.sleep(*status.retry_after, stopped);
  }
}

std::string Client::send(const Call& call) const {
  const Options& options = core_->options;
  Opened opened = open(call);
  Time deadline = opened.begun + options.timeout;
  std::string body;
  try {
    while (true) {
      auto left = std::chrono::ceil<milliseconds>(deadline - options.clock->now());
      if (!opened.answer.body->read(body, std::max(left, milliseconds(1)), stop())) return body;
      if (body.size() > kBodyLimit)
        throw Error(ErrorKind::kSystem, core_->transport->host(), "sent an answer of more than 256 MiB");
    }
  } catch (const Error& error) {
    throw error.with_context(call.subject);
  }
}

Json Client::send_json(const Call& call) const {
  std::string body = send(call);
  Json parsed = Json::parse(body, nullptr, false);
  if (!parsed.is_object())
    throw Error(ErrorKind::kSystem, call.subject,
                "cannot " + call.verb + ": the server answered with something that is not JSON");
  return parsed;
}

Json Client::get(const ResourceType& type, const ObjectKey& key) const {
  return send_json({"get", subject_of(type, key), "GET", object_path(type, key), ""});
}

std::optional<Json> Client::find(const ResourceType& type, const ObjectKey& key) const {
  try {
    return get(type, key);
  } catch (const ApiError& error) {
    if (error.is_not_found()) return std::nullopt;
    throw;
  }
}

Json Client::create(const ResourceType& type, const Json& object) const {
  ObjectKey key = key_of(object);
  return send_json(
      {"create", subject_of(type, key), "POST", collection_path(type, key.name_space), to_text(object)});
}

std::pair<Json, bool> Client::create_or_get(const ResourceType& type, const Json& object) const {
  try {
    return {create(type, object), true};
  } catch (const ApiError& error) {
    if (!error.is_already_exists()) throw;
  }
  return {get(type, key_of(object)), false};
}

Json Client::update(const ResourceType& type, const Json& object, const std::string& subresource) const {
  ObjectKey key = key_of(object);
  return send_json(
      {"update", subject_of(type, key), "PUT", object_path(type, key, subresource), to_text(object)});
}

Json Client::change(const ResourceType& type, const ObjectKey& key,
                    const std::function<bool(Json& object)>& change, const std::string& subresource) const {
  for (unsigned tries = 1;; ++tries) {
    Json object = get(type, key);
    if (!change(object)) return object;
    try {
      return update(type, object, subresource);
    } catch (const ApiError& error) {
      if (!error.is_conflict() || tries == kConflictTries) throw;
    }
  }
}

Json Client::patch(const ResourceType& type, const ObjectKey& key, PatchKind kind, const Json& patch,
                   const std::string& subresource) const {
  return send_json(
      {"patch", subject_of(type, key), "PATCH", object_path(type, key, subresource), to_text(patch),
       kind == PatchKind::kMerge ? "application/merge-patch+json" : "application/json-patch+json"});
}

Json Client::apply(const ResourceType& type, const Json& object, const std::string& field_manager, bool force,
                   const std::string& subresource) const {
  ObjectKey key = key_of(object);
  Query query;
  query.add("fieldManager", field_manager).add("force", force ? "true" : "");
  // The server wants the kind in the body, and refuses managedFields and a resourceVersion of an older read.
  Json body = object;
  body["apiVersion"] = type.api_version();
  body["kind"] = type.kind;
  remove_managed_fields(body);
  // JSON is YAML.
  return send_json({"patch", subject_of(type, key), "PATCH",
                    object_path(type, key, subresource) + query.text(), to_text(body),
                    "application/apply-patch+yaml"});
}

bool Client::remove(const ResourceType& type, const ObjectKey& key, const DeleteOptions& options) const {
  try {
    send({"delete", subject_of(type, key), "DELETE", object_path(type, key), to_text(delete_body(options))});
    return true;
  } catch (const ApiError& error) {
    // A conflict on a delete is a precondition that does not hold.
    if (error.is_not_found() || (!options.uid.empty() && error.is_conflict())) return false;
    throw;
  }
}

ListPage Client::list_page(const ResourceType& type, const ListOptions& options,
                           const ObjectHandler& handler) const {
  Query query = query_of(options);
  if (options.limit > 0) query.add("limit", std::to_string(options.limit));
  query.add("continue", options.continue_token);
  std::string body = send(
      {"list", type.qualified_name(), "GET", collection_path(type, options.name_space) + query.text(), ""});
  return decode_list(body, type, handler);
}

std::vector<Json> Client::list(const ResourceType& type, const ListOptions& options) const {
  for (unsigned tries = 1;; ++tries) {
    std::vector<Json> objects;
    ListOptions page = options;
    try {
      do {
        page.continue_token = list_page(type, page, [&](Json&& object) {
                                objects.push_back(std::move(object));
                              }).continue_token;
      } while (!page.continue_token.empty());
      return objects;
    } catch (const ApiError& error) {
      if (!error.is_gone() || tries == kExpiredListTries) throw;
    }
  }
}

WatchStream Client::watch(const ResourceType& type, const WatchOptions& options) const {
  Query query = query_of(options);
  query.add("watch", "true")
      .add("allowWatchBookmarks", "true")
      .add("timeoutSeconds", std::to_string(options.time.count()))
      .add("resourceVersion", options.resource_version);
  Opened opened = open(
      {"watch", type.qualified_name(), "GET", collection_path(type, options.name_space) + query.text(), ""});
  return WatchStream(std::move(opened.answer.body), type, options.time + std::chrono::seconds(20), stop(),
                     bound_);
}

LogStream Client::log(const ObjectKey& pod, const LogOptions& options) const {
  Query query;
  query.add("container", options.container)
      .add("follow", options.follow ? "true" : "")
      .add("previous", options.previous ? "true" : "")
      .add("timestamps", options.timestamps ? "true" : "")
      .add("sinceTime", options.since_time);
  if (options.tail_lines) query.add("tailLines", std::to_string(*options.tail_lines));
  Call call{"get", "pods/log " + pod.to_string(), "GET", object_path(types::kPods, pod, "log") + query.text(),
            ""};
  call.is_log = true;
  Opened opened = open(call);
  return LogStream(std::move(opened.answer.body), options.line_limit, options.patience, stop(), bound_);
}

Json Client::get_path(const std::string& path) const { return send_json({"get", path, "GET", path, ""}); }

}  // namespace hyper2kvm::kube
