// A daemon of the test's own, with every directory that it uses, and the two sides of it: what hyperexport
// does, and what hyperctl asks.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runner/os/file.h"
#include "runner/os/process.h"
#include "tests/integration/program.h"

namespace hyper2kvm::integration {

class DaemonHost : public ::testing::Test {
 protected:
  DaemonHost();
  ~DaemonHost() override;

  std::filesystem::path path(const std::string& name) const { return directory_.path() / name; }
  // Writes hyper2kvm.conf: the directories of the test, and more.
  void configure(const std::string& more) const;
  void start(const std::vector<std::string>& options = {},
             const std::vector<std::pair<std::string, std::string>>& environment = {});
  // Starts it and waits until it answers on its control socket.
  void start_and_wait(const std::vector<std::pair<std::string, std::string>>& environment = {});
  // SIGTERM; the exit status.
  int stop();
  // All that it has logged.
  std::string log() const;

  nlohmann::json ask(const nlohmann::json& request) const;
  nlohmann::json ask(const char* command) const { return ask(nlohmann::json{{"command", command}}); }
  // A daemon that was killed leaves its socket behind, so the file alone does not tell.
  bool answers() const;

  nlohmann::json manifest(const std::string& vm_name) const;
  // The same with a disk whose conversion takes long enough to look at.
  nlohmann::json slow_manifest(const std::string& vm_name) const;
  // As hyperexport does: in place, every machine under the same name; slowly: a few bytes at a time.
  void submit(const nlohmann::json& document, bool slowly = false) const;
  bool is_taken() const;
  void submit_and_wait(const nlohmann::json& document);
  bool succeeded(const std::string& name) const;
  bool failed(const std::string& name) const;
  bool ended(const std::string& name) const { return succeeded(name) || failed(name); }
  std::string error_of(const std::string& name) const;
  std::filesystem::path image_of(const std::string& name) const { return path("output") / (name + ".qcow2"); }
  // Words in no order: compresses better the harder one tries.
  void make_text_disk(const std::filesystem::path& file, unsigned mebibytes) const;
  // The children that convert, by process id.
  std::vector<pid_t> conversions() const;

  template <class Condition>
  static bool eventually(const Condition& condition, std::chrono::seconds limit = std::chrono::seconds(120)) {
    auto deadline = std::chrono::steady_clock::now() + limit;
    while (std::chrono::steady_clock::now() < deadline) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return condition();
  }
  // How often each name has appeared in the output directory.
  std::map<std::string, unsigned> appeared();

  os::TemporaryDirectory directory_{"daemon-test"};
  os::UniqueFd watch_;
  std::optional<os::Process> daemon_;
  std::map<std::string, unsigned> appeared_;
};

}  // namespace hyper2kvm::integration
