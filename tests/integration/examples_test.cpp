// The manifests of examples/, run as they are but for the names and sizes of files: with the demo guest in
// the place of web01. (boot-validation.yaml is run by boot_trial_test.cpp, where the demo guest is started
// anyway.)
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/integration/daemon_host.h"
#include "tests/integration/example.h"
#include "tests/integration/libvirt_host.h"
#include "tests/integration/program.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::Contains;
using testing::ElementsAre;

class Examples : public testing::Test {
 protected:
  void SetUp() override {
    if (generated_guest("demo").empty()) GTEST_SKIP() << kNoGuests;
  }
  fs::path in(const std::string& name) const { return directory_.path() / name; }
  json convert(const std::string& example, const std::map<std::string, std::string>& more = {}) {
    Ran ran =
        run_hyper2kvm({"convert", example_for(example, directory_.path(), in("images"), more).string()});
    EXPECT_EQ(ran.status, 0) << ran.err;
    return ran.status == 0 ? read_json(in("images") / "report.json") : json();
  }
  os::TemporaryDirectory directory_{"examples"};
};

TEST_F(Examples, Directory) {
  json report = convert("directory.yaml");
  ASSERT_TRUE(report.is_object());
  EXPECT_EQ(report["warnings"], json::array());
  EXPECT_EQ(report["artifacts"][0]["path"], (in("images") / "disk-0.qcow2").string());
  must_run({"qemu-img", "check", "-q", (in("images") / "disk-0.qcow2").string()});
}

TEST_F(Examples, Attested) {
  json report = convert("attested.yaml");
  ASSERT_TRUE(report.is_object());
  json statement = read_json(in("images") / "report.intoto.json");
  EXPECT_EQ(statement["subject"][0]["digest"]["sha256"], sha256(in("images") / "disk-0.qcow2"));
  const json& definition = statement["predicate"]["buildDefinition"];
  EXPECT_EQ(definition["resolvedDependencies"][0]["digest"]["sha256"], sha256(demo_disk()));
  EXPECT_EQ(definition["internalParameters"]["guest_edits"].size(),
            report["pipeline"]["stages"]["fix"]["result"]["edits"].size());
}

TEST_F(Examples, Libvirt) {
  EmbeddedHost host;
  json report = convert("libvirt.yaml", {{"qemu:///system", host.uri()}});
  ASSERT_TRUE(report.is_object());
  EXPECT_THAT(host.machines().names(), ElementsAre("web01"));
  EXPECT_TRUE(host.machines().has_autostart("web01"));
}

class QueueExample : public DaemonHost {
 protected:
  void SetUp() override {
    if (generated_guest("demo").empty()) GTEST_SKIP() << kNoGuests;
  }
};

TEST_F(QueueExample, BecomesADiskUnderTheMachinesName) {
  start();
  submit(read_json(example_for("queue.json", path("."), {})));
  ASSERT_TRUE(eventually([&] { return ended("web01"); })) << log();
  EXPECT_TRUE(succeeded("web01")) << error_of("web01");
}

}  // namespace
}  // namespace hyper2kvm::integration
