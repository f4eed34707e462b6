#include "operator/conversion/operator_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "runner/os/error.h"

namespace hyper2kvm::conversion {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(OperatorOptions, HaveDefaultsForAllButTheImage) {
  OperatorOptions options = parse_operator_options({"--runner-image=runner:1"});
  EXPECT_EQ(options.runner_image, "runner:1");
  EXPECT_THAT(options.namespaces, IsEmpty());
  EXPECT_EQ(options.max_running, 4u);
  EXPECT_EQ(options.max_running_per_node, 0u);
  EXPECT_FALSE(options.leader_elect);
  EXPECT_EQ(options.metrics_address, ":8080");
  EXPECT_EQ(options.health_address, ":8081");
  EXPECT_THROW(parse_operator_options({}), os::Error);
}

TEST(OperatorOptions, AreReadFromTheCommandLine) {
  OperatorOptions options =
      parse_operator_options({"--runner-image", "r", "--namespace=a,b", "--namespace", "c", "--max-running=0",
                              "--max-running-per-node=2", "--leader-elect", "--leader-elect-namespace=x",
                              "--metrics-address=0", "--log-level=debug"});
  EXPECT_THAT(options.namespaces, ElementsAre("a", "b", "c"));
  EXPECT_EQ(options.max_running, 0u);
  EXPECT_EQ(options.max_running_per_node, 2u);
  EXPECT_TRUE(options.leader_elect);
  EXPECT_EQ(options.leader_elect_namespace, "x");
  EXPECT_EQ(options.metrics_address, "");
  EXPECT_EQ(options.log_level, kube::LogLevel::kDebug);
}

TEST(OperatorOptions, AreReadFromTheEnvironmentAndTheCommandLineWins) {
  ::setenv("HYPER2KVM_RUNNER_IMAGE", "from-environment", 1);
  ::setenv("HYPER2KVM_NAMESPACES", "a,b", 1);
  ::setenv("HYPER2KVM_MAX_RUNNING", "9", 1);
  ::setenv("HYPER2KVM_LEADER_ELECT", "true", 1);
  OperatorOptions options = parse_operator_options({"--max-running=7"});
  EXPECT_EQ(options.runner_image, "from-environment");
  EXPECT_THAT(options.namespaces, ElementsAre("a", "b"));
  EXPECT_EQ(options.max_running, 7u);
  EXPECT_TRUE(options.leader_elect);
  ::setenv("HYPER2KVM_LEADER_ELECT", "false", 1);
  EXPECT_FALSE(parse_operator_options({}).leader_elect);
  for (const char* name :
       {"HYPER2KVM_RUNNER_IMAGE", "HYPER2KVM_NAMESPACES", "HYPER2KVM_MAX_RUNNING", "HYPER2KVM_LEADER_ELECT"})
    ::unsetenv(name);
}

TEST(OperatorOptions, HelpAndVersionAreSaid) {
  EXPECT_NE(parse_operator_options({"--help"}).say.find("--max-running-per-node"), std::string::npos);
  EXPECT_EQ(parse_operator_options({"--version"}).say.rfind("hyper2kvm-operator ", 0), 0u);
}

TEST(OperatorOptions, WhatIsWrongIsAUsageError) {
  for (std::vector<std::string> arguments : {std::vector<std::string>{"--runner-image=r", "--max-running=-1"},
                                             {"--runner-image=r", "--max-running=x"},
                                             {"--runner-image=r", "--log-level=loud"},
                                             {"--runner-image=r", "--no-such-option"},
                                             {"--runner-image=r", "word"}}) {
    try {
      parse_operator_options(arguments);
      ADD_FAILURE() << arguments[1];
    } catch (const os::Error& error) {
      EXPECT_EQ(error.kind(), os::ErrorKind::kUsage) << arguments[1];
    }
  }
}

}  // namespace
}  // namespace hyper2kvm::conversion
