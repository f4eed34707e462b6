// The objects of one kind as the API server has them, a moment ago: what a controller reads.
//
// T is what is kept of an object, made from its JSON by a function of the user: a struct with the few fields
// that count, or Json itself. A thousand pods as JSON trees take 30 MiB, as structs less than one.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

#include "operator/kube/reflector.h"

namespace hyper2kvm::kube {

// Reading is safe from any thread. Values are shared and never change: a newer version is a new value.
template <class T>
class Cache {
 public:
  using Value = std::shared_ptr<const T>;

 private:
  struct Entry {
    std::string resource_version;
    Value value;  // null: the object cannot be read, and what was there before stays
  };
  struct Change {
    ObjectKey key;
    Value before, after;
  };
  using Entries = std::map<ObjectKey, Entry>;

 public:
  using Decode = std::function<T(Json&& object)>;
  // before is null for what is new, after for what is gone. Called from a reflector's thread, after the cache
  // has changed; must not throw.
  using ChangeHandler = std::function<void(const ObjectKey& key, const Value& before, const Value& after)>;
  using Indexer = std::function<std::vector<std::string>(const T&)>;

  // decode may throw os::Error or a JSON exception for an object that it cannot read. Such an object keeps
  // the last value that could be read.
  explicit Cache(Decode decode, Logger log = {}) : decode_(std::move(decode)), log_(std::move(log)) {}

  // --- before anything is read ---
  void on_change(ChangeHandler handler) { handlers_.push_back(std::move(handler)); }
  // Finds values by a text that is made of them: by owner, by node.
  void add_index(const std::string& name, Indexer indexer) { indexers_[name] = std::move(indexer); }

  // --- reading ---
  // Null where there is none.
  Value get(const ObjectKey& key) const {
    std::shared_lock lock(mutex_);
    auto found = entries_.find(key);
    return found == entries_.end() ? nullptr : found->second.value;
  }
  // In the order of their keys; of one namespace, or all.
  std::vector<Value> list(const std::string& name_space = "") const {
    std::shared_lock lock(mutex_);
    std::vector<Value> values;
    for (auto at = first_of(name_space); at != entries_.end() && is_within(at->first, name_space); ++at)
      values.push_back(at->second.value);
    return values;
  }
  std::vector<ObjectKey> keys() const {
    std::shared_lock lock(mutex_);
    std::vector<ObjectKey> keys;
    for (const auto& [key, entry] : entries_) keys.push_back(key);
    return keys;
  }
  std::vector<Value> by_index(const std::string& name, const std::string& text) const {
    std::shared_lock lock(mutex_);
    std::vector<Value> values;
    auto found = index_.find({name, text});
    if (found == index_.end()) return values;
    for (const ObjectKey& key : found->second) values.push_back(entries_.at(key).value);
    return values;
  }
  std::size_t size() const {
    std::shared_lock lock(mutex_);
    return entries_.size();
  }

  // The part of the cache that one reflector fills: one namespace, or all of it. Not owned by the cache,
  // which must outlive it.
  class Part final : public ReflectorSink {
   public:
    Part(Cache& cache, std::string name_space) : cache_(cache), name_space_(std::move(name_space)) {}
    void stage(Json&& object) override {
      if (auto entry = cache_.make_entry(object)) staged_[entry->first] = std::move(entry->second);
    }
    void discard_staged() override { staged_.clear(); }
    void commit_staged() override { cache_.replace(name_space_, std::exchange(staged_, {})); }
    void apply(WatchEventType type, Json&& object) override {
      if (type == WatchEventType::kDeleted)
        cache_.erase(key_of(object));
      else if (auto entry = cache_.make_entry(object))
        cache_.put(std::move(entry->first), std::move(entry->second));
    }

   private:
    Cache& cache_;
    const std::string name_space_;
    Entries staged_;
  };

 private:
  std::optional<std::pair<ObjectKey, Entry>> make_entry(Json& object) {
    ObjectKey key = key_of(object);
    if (key.name.empty()) return std::nullopt;
    Entry entry{resource_version_of(object), nullptr};
    try {
      entry.value = std::make_shared<const T>(decode_(std::move(object)));
    } catch (const std::exception& error) {
      log_.error("an object cannot be read",
                 {{"namespace", key.name_space}, {"name", key.name}, {"error", error.what()}});
    }
    return std::pair(std::move(key), std::move(entry));
  }

  void put(ObjectKey key, Entry entry) {
    if (!entry.value) return;
    std::vector<Change> changes;
    {
      std::unique_lock lock(mutex_);
      store(std::move(key), std::move(entry), changes);
    }
    tell(changes);
  }

  void erase(const ObjectKey& key) {
    std::vector<Change> changes;
    {
      std::unique_lock lock(mutex_);
      drop(entries_.find(key), changes);
    }
    tell(changes);
  }

  // Readers see all of the old content or all of the new.
  void replace(const std::string& name_space, Entries staged) {
    std::vector<Change> changes;
    {
      std::unique_lock lock(mutex_);
      auto at = first_of(name_space);
      while (at != entries_.end() && is_within(at->first, name_space)) {
        auto next = std::next(at);
        if (!staged.contains(at->first)) drop(at, changes);
        at = next;
      }
      for (auto& [key, entry] : staged)
        if (entry.value) store(key, std::move(entry), changes);
    }
    tell(changes);
  }

  // --- under the lock ---
  typename Entries::const_iterator first_of(const std::string& name_space) const {
    return name_space.empty() ? entries_.begin() : entries_.lower_bound(ObjectKey{name_space, ""});
  }
  static bool is_within(const ObjectKey& key, const std::string& name_space) {
    return name_space.empty() || key.name_space == name_space;
  }

  void store(ObjectKey key, Entry entry, std::vector<Change>& changes) {
    Entry& place = entries_[key];
    if (place.value && place.resource_version == entry.resource_version) return;  // nothing new
    if (place.value) unindex(key, *place.value);
    index(key, *entry.value);
    Value before = std::exchange(place.value, entry.value);
    place.resource_version = std::move(entry.resource_version);
    changes.push_back({std::move(key), std::move(before), std::move(entry.value)});
  }

  void drop(typename Entries::const_iterator at, std::vector<Change>& changes) {
    if (at == entries_.end()) return;
    unindex(at->first, *at->second.value);
    changes.push_back({at->first, at->second.value, nullptr});
    entries_.erase(at);
  }

  void index(const ObjectKey& key, const T& value) {
    for (const auto& [name, indexer] : indexers_)
      for (const std::string& text : indexer(value)) index_[{name, text}].insert(key);
  }
  void unindex(const ObjectKey& key, const T& value) {
    for (const auto& [name, indexer] : indexers_)
      for (const std::string& text : indexer(value)) {
        auto found = index_.find({name, text});
        if (found == index_.end()) continue;
        found->second.erase(key);
        if (found->second.empty()) index_.erase(found);
      }
  }

  // --- without the lock ---
  void tell(const std::vector<Change>& changes) const {
    for (const Change& change : changes)
      for (const ChangeHandler& handler : handlers_) handler(change.key, change.before, change.after);
  }

  const Decode decode_;
  const Logger log_;
  std::vector<ChangeHandler> handlers_;
  std::map<std::string, Indexer> indexers_;
  mutable std::shared_mutex mutex_;
  Entries entries_;
  std::map<std::pair<std::string, std::string>, std::set<ObjectKey>> index_;
};

}  // namespace hyper2kvm::kube
