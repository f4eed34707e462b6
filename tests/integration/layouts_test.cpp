// Guests in the layouts that distributions install: each is found and repaired, and a rehearsal tells the
// edits that the repair makes. tests/guests/campaign makes them.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "runner/os/file.h"
#include "runner/pipeline/pipeline.h"
#include "tests/integration/program.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMac = "00:50:56:aa:bb:ce";
constexpr const char* kPassphrase = "secret";

struct Layout {
  std::string name;
  unsigned disks;
  bool encrypted = false;
};
void PrintTo(const Layout& layout, std::ostream* out) { *out << layout.name; }

class NoEvents : public contract::EventSink {
 public:
  void emit(const contract::Event&) override {}
};

class GuestLayout : public testing::TestWithParam<Layout> {
 protected:
  void SetUp() override {
    const char* guests = std::getenv("HYPER2KVM_TEST_CAMPAIGN");
    if (guests == nullptr || *guests == '\0')
      GTEST_SKIP() << "HYPER2KVM_TEST_CAMPAIGN does not say where the campaign's guests are";
    folder_ = fs::path(guests) / layout().name;
    for (unsigned number = 1; number <= layout().disks; ++number) ASSERT_TRUE(fs::exists(disk(number)));
  }

  const Layout& layout() const { return GetParam(); }
  fs::path disk(unsigned number) const { return folder_ / ("disk" + std::to_string(number) + ".raw"); }

  std::vector<fs::path> exported() const {
    std::vector<fs::path> disks;
    for (unsigned number = 1; number <= layout().disks; ++number) disks.push_back(disk(number));
    return disks;
  }

  fs::path write_manifest(bool dry_run) {
    nlohmann::json manifest = manifest_for(disk(1));
    manifest["disks"] = nlohmann::json::array();
    for (unsigned number = 1; number <= layout().disks; ++number)
      manifest["disks"].push_back({{"id", "disk-" + std::to_string(number)},
                                   {"source_format", "raw"},
                                   {"bytes", fs::file_size(disk(number))},
                                   {"local_path", disk(number).string()}});
    manifest["nics"] = {{{"id", "nic0"}, {"mac", kMac}, {"network", "VM Network"}}};
    manifest["pipeline"]["fix"] = {{"enabled", true}};
    manifest["output"]["directory"] = (output_.path() / "out").string();
    manifest["options"]["dry_run"] = dry_run;
    fs::path file = output_.path() / "manifest.json";
    write_json(file, manifest);
    return file;
  }
  fs::path key_file() {
    fs::path key = output_.path() / "key";
    os::write_text_atomically(key, kPassphrase, 0600);
    return key;
  }
  // The edits that a job reports.
  nlohmann::json edits(bool dry_run) {
    pipeline::Settings settings;
    if (layout().encrypted) settings.keys = {{"", key_file()}};
    NoEvents events;
    pipeline::Outcome outcome =
        pipeline::run(pipeline::open_inputs({write_manifest(dry_run)}), settings, events, {});
    EXPECT_EQ(outcome.exit_status, 0);
    for (const auto& error : outcome.report.errors) ADD_FAILURE() << error.message;
    for (const auto& stage : outcome.report.stages)
      if (stage.name == "fix") return stage.result["edits"];
    return nullptr;
  }

  fs::path folder_;
  os::TemporaryDirectory output_{"guest-layout"};
};

TEST_P(GuestLayout, TheDryRunNamesTheEditsOfTheRealRun) {
  std::vector<std::string> before;
  for (const fs::path& path : exported()) before.push_back(sha256(path));
  nlohmann::json dry = edits(true);
  nlohmann::json real = edits(false);
  EXPECT_GE(real.size(), 4u);
  EXPECT_EQ(real.dump(2), dry.dump(2));
  std::vector<std::string> after;
  for (const fs::path& path : exported()) after.push_back(sha256(path));
  EXPECT_EQ(after, before);
}

std::string layout_name(const testing::TestParamInfo<Layout>& layout) {
  std::string name = layout.param.name;
  name[0] = static_cast<char>(name[0] - 'a' + 'A');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Of, GuestLayout,
                         testing::Values(Layout{"lvm", 2}, Layout{"btrfs", 1}, Layout{"luks", 1, true},
                                         Layout{"raid1", 2}),
                         layout_name);

}  // namespace
}  // namespace hyper2kvm::integration
