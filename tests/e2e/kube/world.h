// What the tests here share: a client, a namespace of one's own, and the cluster's components to stop and
// start.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <string>

#include "operator/kube/client.h"
#include "runner/os/process.h"

namespace hyper2kvm::kube {

// The program of small_operator.cpp, from --operator=.
std::string small_operator();

// How long anything is waited for: a limit for what hangs, not a measure, and enough for a slow machine.
inline constexpr std::chrono::seconds kPatience{240};

// Looks until it is so. False when the patience is at its end.
bool eventually(const std::function<bool()>& is_so);

// `scripts/test campaign cluster`: many more moments are tried.
bool is_campaign();

// cluster/component.sh ACTION NAME
void component(const std::string& action, const std::string& name);
// Waits until the API server is ready, and answers the administrator.
void wait_for_server(const Client& client);

// A namespace for one test, and a client that is its administrator.
class World : public testing::Test {
 protected:
  World();
  ~World() override;
  Json config_map(const std::string& name, const Json& data = {{"a", "1"}}) const;
  ObjectKey key(const std::string& name) const { return {name_space, name}; }

  Config config;
  Client client;
  std::string name_space;
};

}  // namespace hyper2kvm::kube
