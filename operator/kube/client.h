// The Kubernetes API: objects in and out as JSON, watches and logs as streams.
//
// A Client is a small handle that may be copied; all of its functions may be called from any thread. Every
// request has a deadline, and ends at once when its stop is requested. An answer of 429, or one with a
// Retry-After header, is waited out and tried again (Client::Options::retries times): the server asks for
// that before it has done anything. A token that is refused is read again from its file and tried once more.
// Nothing else is retried here: whoever decides looks at the world again first.
//
// All functions throw os::Error; what the server refused is an ApiError.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "operator/kube/api_error.h"
#include "operator/kube/clock.h"
#include "operator/kube/config.h"
#include "operator/kube/list_decoder.h"
#include "operator/kube/log_stream.h"
#include "operator/kube/object.h"
#include "operator/kube/resource.h"
#include "operator/kube/token_source.h"
#include "operator/kube/transport.h"
#include "operator/kube/watch_stream.h"

namespace hyper2kvm::kube {

struct Selection {
  std::string name_space;  // empty: all namespaces
  std::string label_selector;
  std::string field_selector;
};

struct ListOptions : Selection {
  unsigned limit = 500;  // objects a page
  std::string continue_token;
};

struct WatchOptions : Selection {
  std::string resource_version;
  // The server ends the watch after this long, so that watches spread over the servers again.
  std::chrono::seconds time{290};
};

struct LogOptions {
  std::string container;
  bool follow = true;
  // "2024-05-01T12:00:00Z": only lines from then on. Empty: all.
  std::string since_time;
  // Each line starts with its time and a space.
  bool timestamps = false;
  // The log of the container's previous run.
  bool previous = false;
  std::optional<unsigned> tail_lines;
  // Bytes of a line that are kept.
  std::size_t line_limit = 64u << 10;
  // How long the log may be silent. Longer than the transport's idle limit has no effect.
  std::chrono::seconds patience{300};
};

struct DeleteOptions {
  enum class Propagation {
    kBackground,  // the object goes at once, its children after it
    kForeground,  // the children first
    kOrphan,      // the children stay
  };
  Propagation propagation = Propagation::kBackground;
  // Only this very object, not a new one of the same name. Empty: whichever there is.
  std::string uid;
  std::optional<std::chrono::seconds> grace_period;
};

enum class PatchKind {
  kMerge,  // RFC 7386: null removes, a list is replaced
  kJson,   // RFC 6902: an array of operations
};

// One finished request, for metrics.
struct RequestRecord {
  std::string method;
  std::string host;
  int code = 0;  // 0: no answer came
  std::chrono::duration<double> time{};
};

class Client {
 public:
  struct Options {
    std::string user_agent = "hyper2kvm-operator";
    // Of one try, from its first byte to the answer's last.
    std::chrono::milliseconds timeout{30000};
    // After answers that ask for it.
    unsigned retries = 10;
    // An answer that asks for a longer wait is handed on as an error.
    std::chrono::seconds longest_wait{60};
    Clock* clock = &Clock::real();  // not owned
    std::function<void(const RequestRecord&)> observer;
  };

  Client(std::shared_ptr<Transport> transport, std::shared_ptr<TokenSource> tokens, Options options);
  // Over cpprestsdk.
  static Client connect(const Config& config, Options options);

  // --- one object ---
  Json get(const ResourceType& type, const ObjectKey& key) const;
  // Nothing where there is none.
  std::optional<Json> find(const ResourceType& type, const ObjectKey& key) const;
  // Into the namespace of its own metadata. All of the writing functions return the object as the server has
  // it now.
  Json create(const ResourceType& type, const Json& object) const;
  // One that exists already is read instead; the second is whether it was created. Whether the one that
  // exists is ours is for the caller to see.
  std::pair<Json, bool> create_or_get(const ResourceType& type, const Json& object) const;
  // Refused as a conflict when the object has changed since its resourceVersion. subresource: "status".
  Json update(const ResourceType& type, const Json& object, const std::string& subresource = "") const;
  // Reads, lets `change` change it (false: leave it), and writes, again on conflict, a few times.
  Json change(const ResourceType& type, const ObjectKey& key, const std::function<bool(Json& object)>& change,
              const std::string& subresource = "") const;
  Json patch(const ResourceType& type, const ObjectKey& key, PatchKind kind, const Json& patch,
             const std::string& subresource = "") const;
  // Server-side apply: the fields of `object` become as they are there, owned by field_manager, and what it
  // owned before and are not there any more go away. force takes fields over from other managers.
  Json apply(const ResourceType& type, const Json& object, const std::string& field_manager,
             bool force = true, const std::string& subresource = "") const;
  // False where there is none, or another one than options.uid.
  bool remove(const ResourceType& type, const ObjectKey& key, const DeleteOptions& options = {}) const;

  // --- many objects ---
  // One page, object by object.
  ListPage list_page(const ResourceType& type, const ListOptions& options,
                     const ObjectHandler& handler) const;
  // All pages. One that expires on the way starts the list again.
  std::vector<Json> list(const ResourceType& type, const ListOptions& options = {}) const;
  WatchStream watch(const ResourceType& type, const WatchOptions& options) const;
  LogStream log(const ObjectKey& pod, const LogOptions& options) const;

  // Anything else that answers JSON: get_path("/version").
  Json get_path(const std::string& path) const;

  // --- stopping ---
  // The same client, whose requests also end when this stop is requested.
  Client bound_to(std::stop_token stop) const;
  // A client of its own to the same server: cut() of one does not concern the other.
  Client separate(Options options) const;
  const Options& options() const;
  // From now on every request of this client and its copies, running or new, fails with kCancelled. For a
  // leader that lost its lease: whatever was about to be written no longer is.
  void cut() const;

 private:
  struct Core;
  struct Bound;
  struct Call;
  struct Opened;
  Opened open(const Call& call) const;
  std::string send(const Call& call) const;
  Json send_json(const Call& call) const;
  std::stop_token stop() const;

  std::shared_ptr<Core> core_;
  std::shared_ptr<Bound> bound_;
};

}  // namespace hyper2kvm::kube
