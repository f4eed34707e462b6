// A whole conversion, appliance and all, by an ordinary user without capabilities who can gain none.
#include <gtest/gtest.h>
#include <unistd.h>

#include "runner/os/file.h"
#include "runner/os/process.h"
#include "tests/integration/program.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;

class Unprivileged : public testing::Test {
 protected:
  void SetUp() override {
    fs::path guest = generated_guest("demo");
    if (guest.empty()) GTEST_SKIP() << kNoGuests;
    if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
    // The checkout and the caches may be where nobody may look: what is needed is copied to where they may.
    fs::permissions(place(), fs::perms(0755));
    fs::path built = program_path().parent_path().parent_path() / "appliance";
    fs::create_directories(place() / "appliance");
    for (const char* part : {"linux.uml", "appliance-root.img"})
      fs::copy_file(fs::canonical(built / part), place() / "appliance" / part);
    fs::copy_file(program_path(), place() / "hyper2kvm");
    fs::copy_file(guest / "demo.ova", place() / "demo.ova");
    fs::permissions(place() / "demo.ova", fs::perms(0444));
    fs::create_directories(place() / "out");
    give_to_nobody(place() / "out");
  }
  fs::path place() const { return directory_.path(); }

  os::ProcessOptions as_nobody(const std::vector<std::string>& arguments) const {
    os::ProcessOptions options;
    options.arguments = integration::as_nobody(arguments);
    options.environment = {{"HYPER2KVM_APPLIANCE", (place() / "appliance").string()},
                           {"HOME", "/nonexistent"},
                           {"TMPDIR", "/tmp"}};
    return options;
  }

  os::TemporaryDirectory directory_{"unprivileged", "/tmp"};
};

TEST_F(Unprivileged, HasNoCapabilityAtAll) {
  std::string status = os::run_program(as_nobody({"cat", "/proc/self/status"}));
  for (const char* line :
       {"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1"})
    EXPECT_NE(status.find(line), std::string::npos) << line << "\n" << status;
}

TEST_F(Unprivileged, ConvertsAndRepairsTheDemoGuest) {
  std::string out =
      os::run_program(as_nobody({(place() / "hyper2kvm").string(), "convert", (place() / "demo.ova").string(),
                                 "--output", (place() / "out").string(), "--compress"}),
                      {}, std::chrono::minutes(4));
  EXPECT_NE(out.find("Output: "), std::string::npos) << out;
  nlohmann::json report = read_json(place() / "out" / "report.json");
  EXPECT_TRUE(report["pipeline"]["stages"]["fix"]["success"].get<bool>());
  EXPECT_GE(report["pipeline"]["stages"]["fix"]["result"]["edits"].size(), 4u);
  must_run({"qemu-img", "check", (place() / "out" / "disk-0.qcow2").string()});
}

}  // namespace
}  // namespace hyper2kvm::integration
