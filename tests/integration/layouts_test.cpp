// Guests in the layouts that distributions install: each boots on VMware's hardware and stops on virtio as it
// is, and after its conversion reaches the login prompt there with all its mounts and its network.
// One of them, which tests/guests makes, is booted on virtio before and after in every run; all else is a
// campaign, whose guests tests/guests/campaign makes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>

#include "runner/os/file.h"
#include "runner/pipeline/pipeline.h"
#include "tests/integration/console.h"
#include "tests/integration/program.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

// The cards in VMware's first two slots.
constexpr const char* kFirstMac = "00:50:56:aa:bb:ce";
constexpr const char* kSecondMac = "00:50:56:aa:bb:cf";
constexpr const char* kPassphrase = "open-sesame";
// A slow machine under emulation, with fsck and a dozen services.
constexpr std::chrono::seconds kPatience{1200};
// What an initramfs says that does not find its root, or what the root is encrypted in.
constexpr const char* kGaveUp = "Gave up waiting for root file system device";
constexpr const char* kDropped = "Dropping to a shell";

struct Layout {
  std::string name;
  unsigned disks;
  // Mount points and what findmnt says of them, with DISK for the name of a disk without its letter: sd, vd.
  std::vector<std::pair<std::string, std::string>> mounts;
  std::string swap;
  bool encrypted = false;
  bool every_run = false;
};
void PrintTo(const Layout& layout, std::ostream* out) { *out << layout.name; }

fs::path guest_of_the_campaign(const std::string& name) {
  const char* campaign = std::getenv("HYPER2KVM_TEST_CAMPAIGN");
  return campaign == nullptr || *campaign == '\0' ? fs::path() : fs::path(campaign) / name;
}

class NoEvents : public contract::EventSink {
 public:
  void emit(const contract::Event&) override {}
};

class GuestLayout : public testing::TestWithParam<Layout> {
 protected:
  void SetUp() override {
    folder_ = layout().every_run ? generated_guest(layout().name) : guest_of_the_campaign(layout().name);
    if (folder_.empty())
      GTEST_SKIP() << (layout().every_run ? kNoGuests
                                          : "HYPER2KVM_TEST_CAMPAIGN does not say where the guests are");
    for (unsigned number = 1; number <= layout().disks; ++number)
      ASSERT_TRUE(fs::exists(disk(number))) << disk(number);
  }

  const Layout& layout() const { return GetParam(); }
  fs::path disk(unsigned number) const { return folder_ / ("disk" + std::to_string(number) + ".raw"); }

  Hardware vmware() const {
    Hardware hardware{.bus = DiskBus::kPvscsi,
                      .cards = {{NetworkCard::Model::kVmxnet3, kFirstMac, 192},
                                {NetworkCard::Model::kVmxnet3, kSecondMac, 224}}};
    for (const fs::path& path : exported()) hardware.disks.push_back({path, "raw"});
    return hardware;
  }
  // Here the second card is the first on the bus.
  static Hardware virtio(const std::vector<fs::path>& disks, const std::string& format) {
    Hardware hardware{
        .bus = DiskBus::kVirtioBlk,
        .cards = {{NetworkCard::Model::kVirtio, kSecondMac, 1}, {NetworkCard::Model::kVirtio, kFirstMac, 2}}};
    for (const fs::path& path : disks) hardware.disks.push_back({path, format});
    return hardware;
  }
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
    manifest["nics"] = {{{"id", "nic0"}, {"mac", kFirstMac}, {"network", "VM Network"}},
                        {{"id", "nic1"}, {"mac", kSecondMac}, {"network", "Storage"}}};
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
  // As a user does it, with the program.
  void convert() {
    std::vector<std::string> arguments = {write_manifest(false).string()};
    if (layout().encrypted) arguments.insert(arguments.end(), {"--key", "all:file:" + key_file().string()});
    Ran ran = run_hyper2kvm(arguments);
    EXPECT_EQ(ran.status, 0) << ran.out << ran.err;
    if (layout().encrypted) {
      std::string report = os::read_text(output_.path() / "out" / "report.json", 16u << 20);
      EXPECT_THAT(ran.out + ran.err + report, Not(HasSubstr(kPassphrase)));
    }
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
  std::vector<fs::path> converted() const {
    std::vector<fs::path> disks;
    for (unsigned number = 1; number <= layout().disks; ++number)
      disks.push_back(output_.path() / "out" / ("disk-" + std::to_string(number) + ".qcow2"));
    return disks;
  }

  // From power-on to the login prompt; somebody types the passphrase.
  void reach_login(Console& console) {
    if (layout().encrypted) {
      ASSERT_EQ(console.wait_for({"Please unlock disk", kGaveUp, kDropped}, kPatience), 0u)
          << console.transcript();
      console.type(std::string(kPassphrase) + "\n");
    }
    ASSERT_EQ(console.wait_for({layout().name + " login: ", kGaveUp, kDropped}, kPatience), 0u)
        << console.transcript();
    console.log_in("root", "root");
  }
  void expect_all_of_it(Console& console, const std::string& disks) {
    // The prompt comes before the last card is configured.
    if (std::string state = console.run("systemctl is-system-running --wait", kPatience).text;
        state != "running") {
      ADD_FAILURE()
          << "the machine is " << state << ": "
          << console.run("systemctl --failed --no-legend --plain; journalctl -b --no-pager -p warning").text;
    }
    for (auto [place, source] : layout().mounts) {
      if (std::size_t at = source.find("DISK"); at != std::string::npos) source.replace(at, 4, disks);
      EXPECT_EQ(console.run("findmnt -no SOURCE " + place).text, source) << place;
    }
    std::string swap = layout().swap;
    if (std::size_t at = swap.find("DISK"); at != std::string::npos) swap.replace(at, 4, disks);
    EXPECT_EQ(console.run("swapon --show=NAME --noheadings").text, console.run("readlink -f " + swap).text);
    EXPECT_THAT(console.run("ip -o -4 address show dev ens192").text, HasSubstr("inet 10.0.2.15/24"));
    EXPECT_EQ(console.run("cat /sys/class/net/ens192/address").text, kFirstMac);
    EXPECT_THAT(console.run("ip -o -4 address show dev ens224").text, HasSubstr("inet 10.0.3.15/24"));
    EXPECT_EQ(console.run("cat /sys/class/net/ens224/address").text, kSecondMac);
    EXPECT_EQ(console.run("systemctl --failed --no-legend --plain").text, "");
  }

  fs::path folder_;
  os::TemporaryDirectory output_{"guest-layout"};
};

TEST_P(GuestLayout, BootsOnVmwareHardwareBeforeTheConversion) {
  Console console = Console::start(vmware());
  ASSERT_NO_FATAL_FAILURE(reach_login(console));
  expect_all_of_it(console, "sd");
}

TEST_P(GuestLayout, StopsOnVirtioBeforeTheConversion) {
  Console console = Console::start(virtio(exported(), "raw"));
  EXPECT_GE(console.wait_for({layout().name + " login: ", kGaveUp, kDropped}, kPatience), 1u);
}

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

TEST_P(GuestLayout, BootsOnVirtioAfterTheConversion) {
  convert();
  Console console = Console::start(virtio(converted(), "qcow2"));
  ASSERT_NO_FATAL_FAILURE(reach_login(console));
  expect_all_of_it(console, "vd");
}

// "luks-on-lvm" is LuksOnLvm.
std::string layout_name(const testing::TestParamInfo<Layout>& layout) {
  std::string name;
  bool capital = true;
  for (char c : layout.param.name) {
    if (c != '-') name += capital && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    capital = c == '-';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(EveryRun, GuestLayout,
                         testing::Values(Layout{"lvm",
                                                2,
                                                {{"/", "/dev/mapper/guest--vg-root"},
                                                 {"/var", "/dev/mapper/guest--vg-var"},
                                                 {"/boot", "/dev/DISKa1"}},
                                                "/dev/mapper/guest--vg-swap",
                                                false,
                                                true}),
                         layout_name);

INSTANTIATE_TEST_SUITE_P(
    Campaign, GuestLayout,
    testing::Values(
        Layout{"btrfs", 1, {{"/", "/dev/DISKa2[/@rootfs]"}, {"/home", "/dev/DISKa2[/@home]"}}, "/dev/DISKa3"},
        Layout{"luks",
               1,
               {{"/", "/dev/mapper/secret-root"}, {"/boot", "/dev/DISKa1"}},
               "/dev/mapper/secret-swap",
               true},
        Layout{"luks-on-lvm",
               1,
               {{"/", "/dev/mapper/root_crypt"},
                {"/usr", "/dev/mapper/vault-usr"},
                {"/var", "/dev/mapper/vault-var"},
                {"/srv", "/dev/mapper/vault-srv"},
                {"/boot", "/dev/DISKa1"}},
               "/dev/mapper/vault-swap",
               true},
        Layout{"raid1", 2, {{"/", "/dev/md0"}, {"/boot", "/dev/DISKa1"}}, "/dev/DISKb1"},
        Layout{"thin",
               1,
               {{"/", "/dev/mapper/data-root"}, {"/srv", "/dev/mapper/data-srv"}, {"/boot", "/dev/DISKa1"}},
               "/dev/mapper/data-swap"}),
    layout_name);

}  // namespace
}  // namespace hyper2kvm::integration
