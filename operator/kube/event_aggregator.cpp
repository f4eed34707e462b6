#include "operator/kube/event_aggregator.h"

#include <algorithm>

#include "operator/kube/text.h"
#include "operator/kube/timestamp.h"

namespace hyper2kvm::kube {
namespace {

constexpr std::size_t kRemembered = 1024;  // of each sort
constexpr std::size_t kSimilarLimit = 10;
constexpr Duration kSimilarTime = std::chrono::minutes(10);
constexpr double kBurst = 25;
constexpr Duration kRefill = std::chrono::minutes(5);
// The API server's own limits.
constexpr std::size_t kMessageLimit = 1024;
constexpr std::size_t kReasonLimit = 128;
constexpr std::size_t kNameLimit = 253;

// Fields joined with a byte that no name has.
std::string join(std::initializer_list<std::string_view> parts) {
  std::string joined;
  for (std::string_view part : parts) joined.append(part) += '\0';
  return joined;
}

}  // namespace

Json reference_to(const ResourceType& type, const Json& object) {
  ObjectKey key = key_of(object);
  Json reference = {{"apiVersion", type.api_version()}, {"kind", type.kind}, {"name", key.name}};
  if (!key.name_space.empty()) reference["namespace"] = key.name_space;
  if (std::string uid = uid_of(object); !uid.empty()) reference["uid"] = uid;
  if (std::string version = resource_version_of(object); !version.empty())
    reference["resourceVersion"] = version;
  return reference;
}

template <class V>
V* EventAggregator::Recent<V>::find(const std::string& key) {
  auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  order_.splice(order_.begin(), order_, found->second);
  return &order_.front().second;
}

template <class V>
V& EventAggregator::Recent<V>::at(const std::string& key, const V& fresh) {
  if (V* found = find(key)) return *found;
  order_.emplace_front(key, fresh);
  by_key_[key] = order_.begin();
  if (order_.size() > kRemembered) {
    by_key_.erase(order_.back().first);
    order_.pop_back();
  }
  return order_.front().second;
}

EventAggregator::EventAggregator(std::string component, std::string host)
    : component_(std::move(component)), host_(std::move(host)) {}

bool EventAggregator::has_token(const std::string& object, Time now) {
  Bucket& bucket = buckets_.at(object, {kBurst, now});
  double refilled =
      std::chrono::duration<double>(now - bucket.filled) / std::chrono::duration<double>(kRefill);
  bucket.tokens = std::min(kBurst, bucket.tokens + refilled);
  bucket.filled = now;
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

// The key under which the event is counted; the message too, where it is one of many alike.
std::string EventAggregator::combine(const std::string& kind, const Happening& happening, Time now,
                                     std::string& message) {
  Similar& similar = similar_.at(kind, {now, {}});
  if (now - similar.since > kSimilarTime) similar = {now, {}};
  similar.since = now;
  similar.messages.insert(message);
  if (similar.messages.size() < kSimilarLimit) return join({kind, happening.message});
  // Enough to know that there are many: no more are kept.
  similar.messages.erase(similar.messages.begin());
  message = "(combined from similar events): " + message;
  return kind;
}

std::optional<EventWrite> EventAggregator::next(const Happening& happening, Time now, Calendar calendar,
                                                const std::string& name_suffix) {
  const Json& about = happening.about;
  std::string object =
      join({text_at(about, {"apiVersion"}), text_at(about, {"kind"}), text_at(about, {"namespace"}),
            text_at(about, {"name"}), text_at(about, {"uid"})});
  std::string message(cut(happening.message, kMessageLimit));
  std::string type = happening.is_warning ? "Warning" : "Normal";
  std::string kind = join({object, type, happening.reason});
  std::string key = combine(kind, happening, now, message);
  message = cut(message, kMessageLimit);
  if (!has_token(object, now)) return std::nullopt;

  std::string moment = to_time(calendar);
  if (Written* before = written_.find(key)) {
    before->event["count"] = integer_at(before->event, {"count"}) + 1;
    before->event["lastTimestamp"] = moment;
    before->event["message"] = message;
    return EventWrite{before->event, false};
  }
  std::string suffix = "." + name_suffix;
  std::string name = text_at(about, {"name"});
  std::string name_space = text_at(about, {"namespace"});
  if (name_space.empty()) name_space = "default";  // where events of cluster-wide objects go
  Json event = {
      {"apiVersion", "v1"},
      {"kind", "Event"},
      {"metadata",
       {{"name", std::string(cut(name, kNameLimit - suffix.size())) + suffix}, {"namespace", name_space}}},
      {"involvedObject", about},
      {"type", type},
      {"reason", std::string(cut(happening.reason, kReasonLimit))},
      {"message", message},
      {"source", {{"component", component_}, {"host", host_}}},
      {"reportingComponent", component_},
      {"reportingInstance", host_},
      {"firstTimestamp", moment},
      {"lastTimestamp", moment},
      {"count", 1}};
  written_.at(key, {event});
  return EventWrite{std::move(event), true};
}

}  // namespace hyper2kvm::kube
