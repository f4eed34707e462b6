// Which Event to write for something that happened, so that a loop cannot flood the cluster with events.
//
// - The same again (object, type, reason, message): the count of the event that exists goes up.
// - Many alike (same reason, differing messages): after ten in ten minutes they become one, "(combined from
//   similar events)".
// - Of one object: at most 25 in a row, then one each five minutes.
// These are the rules and the numbers of client-go's EventCorrelator. Pure but for the state it keeps: what
// it is told the time is, is the time.
#pragma once

#include <list>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include "operator/kube/clock.h"
#include "operator/kube/object.h"

namespace hyper2kvm::kube {

// Something that happened to an object.
struct Happening {
  // ObjectReference: apiVersion, kind, namespace, name, uid, resourceVersion.
  Json about;
  bool is_warning = false;
  std::string reason;   // one word in CamelCase
  std::string message;  // a sentence
};
// The reference to an object that is in hand.
Json reference_to(const ResourceType& type, const Json& object);

// What to write: a new Event, or the new count of one that was written before.
struct EventWrite {
  Json event;  // complete, also for a count: the old one may be gone by now
  bool is_new = true;
};

// Not thread-safe.
class EventAggregator {
 public:
  // component: who reports, "hyper2kvm-operator". host: where it runs.
  EventAggregator(std::string component, std::string host);

  // Nothing where there were too many already. name_suffix makes the name of a new event unique.
  std::optional<EventWrite> next(const Happening& happening, Time now, Calendar calendar,
                                 const std::string& name_suffix);

 private:
  struct Similar {
    Time since;
    std::set<std::string> messages;
  };
  struct Bucket {
    double tokens;
    Time filled;
  };
  struct Written {
    Json event;
  };
  // The most recently used entries of a map; the rest is forgotten.
  template <class V>
  class Recent {
   public:
    V& at(const std::string& key, const V& fresh);
    V* find(const std::string& key);

   private:
    std::list<std::pair<std::string, V>> order_;
    std::unordered_map<std::string, typename std::list<std::pair<std::string, V>>::iterator> by_key_;
  };
  bool has_token(const std::string& object, Time now);
  std::string combine(const std::string& kind, const Happening& happening, Time now, std::string& message);

  std::string component_;
  std::string host_;
  Recent<Similar> similar_;
  Recent<Bucket> buckets_;
  Recent<Written> written_;
};

}  // namespace hyper2kvm::kube
