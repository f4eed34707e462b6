// A cache together with the reflectors that keep it: what a program makes one of per kind that it looks at.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "operator/kube/cache.h"

namespace hyper2kvm::kube {

// What a manager needs to know of an informer, whatever its T.
class InformerBase {
 public:
  virtual ~InformerBase() = default;
  // Starts its threads. Once.
  virtual void start(const Client& client, const Logger& log) = 0;
  // Asks the threads to end, and waits for them.
  virtual void stop() = 0;
  // The cache has been filled. Safe to call from any thread, as problem() is.
  virtual bool is_synced() const = 0;
  virtual std::string problem() const = 0;
  virtual std::string name() const = 0;
};

struct InformerOptions {
  // Empty: the whole cluster. Several: one reflector each, so that a Role in each of them is enough.
  std::vector<std::string> namespaces;
  std::string label_selector;
  std::string field_selector;
  Reflector::Options reflector;
};

template <class T>
class Informer final : public InformerBase {
 public:
  Informer(ResourceType type, InformerOptions options, typename Cache<T>::Decode decode, Logger log = {})
      : type_(std::move(type)),
        options_(std::move(options)),
        cache_(std::move(decode), log.with({{"resource", type_.qualified_name()}})) {}
  ~Informer() override { stop(); }

  // To add handlers and indexes, before start().
  Cache<T>& cache() { return cache_; }
  const Cache<T>& cache() const { return cache_; }

  void start(const Client& client, const Logger& log) override {
    std::vector<std::string> namespaces = options_.namespaces;
    if (namespaces.empty()) namespaces.emplace_back();
    for (const std::string& name_space : namespaces) {
      auto part = std::make_unique<Worker>(cache_, name_space);
      part->reflector = std::make_unique<Reflector>(
          client, type_, Selection{name_space, options_.label_selector, options_.field_selector}, part->sink,
          log, options_.reflector);
      workers_.push_back(std::move(part));
    }
    for (auto& worker : workers_)
      worker->thread = std::jthread(
          [reflector = worker->reflector.get()](const std::stop_token& stop) { reflector->run(stop); });
  }

  void stop() override {
    for (auto& worker : workers_) worker->thread.request_stop();
    for (auto& worker : workers_)
      if (worker->thread.joinable()) worker->thread.join();
  }

  bool is_synced() const override {
    for (const auto& worker : workers_)
      if (!worker->reflector->is_synced()) return false;
    return !workers_.empty();
  }

  std::string problem() const override {
    for (const auto& worker : workers_)
      if (std::string problem = worker->reflector->problem(); !problem.empty()) return problem;
    return "";
  }

  std::string name() const override { return type_.qualified_name(); }

 private:
  struct Worker {
    Worker(Cache<T>& cache, const std::string& name_space) : sink(cache, name_space) {}
    typename Cache<T>::Part sink;
    std::unique_ptr<Reflector> reflector;
    std::jthread thread;
  };

  ResourceType type_;
  InformerOptions options_;
  Cache<T> cache_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

// The decoder of Informer<Json>: everything but the managed fields.
inline Json keep_all_but_managed_fields(Json&& object) {
  remove_managed_fields(object);
  return std::move(object);
}

}  // namespace hyper2kvm::kube
