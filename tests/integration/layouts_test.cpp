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
// What it says that has waited for a device to resume from, before it goes on.
constexpr const char* kNoResumeDevice = "Gave up waiting for suspend/resume device";
// What systemd says, in an initramfs as dracut makes it or on the root.
constexpr const char* kEmergency = "emergency mode";

// A command and a part of what it says in a guest that is as its configuration has it.
struct Fact {
  std::string command, part;
  bool only_on_virtio = false;
};

std::string card_of(const std::string& interface) { return "cat /sys/class/net/" + interface + "/address"; }
std::string addresses_of(const std::string& interface) { return "ip -o -4 address show dev " + interface; }
// The router's answer shows that the card carries traffic.
Fact router_answers_to(const std::string& interface) {
  return {"timeout 10 bash -c ': </dev/tcp/10.0.2.2/9' 2>/dev/null; ip -4 neighbour show 10.0.2.2",
          "dev " + interface + " lladdr "};
}

// An address for each card.
std::vector<Fact> two_cards() {
  return {{addresses_of("ens192"), "inet 10.0.2.15/24"},
          {card_of("ens192"), kFirstMac},
          {addresses_of("ens224"), "inet 10.0.3.15/24"},
          {card_of("ens224"), kSecondMac},
          router_answers_to("ens192")};
}
// The first card is a port of a bridge, which has its address.
std::vector<Fact> bridge() {
  return {{"ls /sys/class/net/br0/brif", "ens192"}, {addresses_of("br0"), "inet 10.0.2.15/24"},
          {card_of("ens192"), kFirstMac},           {addresses_of("ens224"), "inet 10.0.3.15/24"},
          {card_of("ens224"), kSecondMac},          router_answers_to("br0")};
}
// In a bond a card shows the address of the bond as its own, and its own elsewhere. QEMU's vmxnet3 does not
// receive what is sent to another address than that of the card.
std::vector<Fact> bond_with_vlan() {
  return {{addresses_of("bond0"), "inet 10.0.2.15/24"},
          {"cat /sys/class/net/bond0/bonding/slaves", "ens192"},
          {"cat /sys/class/net/bond0/bonding/slaves", "ens224"},
          {"cat /sys/class/net/bond0/bonding/active_slave", "ens192"},
          {"cat /sys/class/net/ens192/bonding_slave/perm_hwaddr", kFirstMac},
          {"cat /sys/class/net/ens224/bonding_slave/perm_hwaddr", kSecondMac},
          {addresses_of("bond0.30"), "inet 10.0.30.15/24"},
          {router_answers_to("bond0").command, router_answers_to("bond0").part, /*only_on_virtio=*/true}};
}

// The kernel has been told the device to resume from.
Fact resumes_from(const std::string& device) {
  return {"device=" + device +
              "; [ $(cat /sys/power/resume) = $(cat /sys/class/block/$device/dev) ] && echo it is so",
          "it is so"};
}

// What a manifest may ask for beside the conversion. The password is "sesame".
nlohmann::json wishes() {
  return nlohmann::json::parse(R"({
    "hostname": "renamed",
    "users": [{"name": "maria",
               "password_hash": "$6$hyper2kvm$jSBjN54KucEYLbD5pjGKSykfXQl6kd6GifeXoTStUz6s8Z5sl4xm4U9Z7b3L/od99x7qI6U4OmiKS9nm2pkUq.",
               "ssh_authorized_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUm maria"],
               "groups": ["adm"]}],
    "services": {"enable": ["systemd-network-generator"], "disable": ["systemd-pstore"]},
    "network": {"files": {"/etc/network/interfaces.d/more":
                          "iface ens224 inet static\n\taddress 10.0.9.15/24\n"}}
  })");
}
std::vector<Fact> wishes_that_came_true() {
  return {{"hostname", "renamed", true},
          {"getent hosts renamed", "127.0.1.1", true},
          {"perl -e '$hash = (getpwnam \"maria\")[1]; print crypt(\"sesame\", $hash) eq $hash ? \"right\" : "
           "\"wrong\"'",
           "right", true},
          {"stat -c '%U %G %a' /home/maria/.ssh/authorized_keys", "maria maria 600", true},
          {"id -nG maria", "maria adm", true},
          {"systemctl is-active systemd-network-generator", "active", true},
          {"systemctl is-enabled systemd-pstore", "disabled", true},
          {addresses_of("ens224"), "inet 10.0.9.15/24", true},
          // Beside the configuration, what pipeline.fix asks for.
          {"systemctl is-enabled open-vm-tools", "masked", true},
          {"cat /var/lib/hyper2kvm/original/etc/fstab", "/dev/sda2 / ext4", true}};
}

std::vector<Fact> with(std::vector<Fact> facts, const Fact& one) {
  facts.push_back(one);
  return facts;
}

struct Layout {
  std::string name;
  unsigned disks = 1;
  // Mount points and what findmnt says of them, with DISKa for the first disk: sda, vda.
  std::vector<std::pair<std::string, std::string>> mounts;
  std::string swap;
  bool encrypted = false;
  bool every_run = false;
  bool uefi = false;
  bool screen = false;
  // Where VMware has its disks.
  DiskBus home = DiskBus::kPvscsi;
  std::vector<Fact> network = two_cards();
  // What else is as it should be.
  std::vector<Fact> facts = {};
  // The guest is told to resume from a disk that it once had, and waits for it.
  bool misses_a_disk = false;
  nlohmann::json fix = {};
  nlohmann::json configuration = nullptr;
};
void PrintTo(const Layout& layout, std::ostream* out) { *out << layout.name; }

// "/dev/DISKa2" as the kernel calls it behind this bus.
std::string device_name(std::string text, DiskBus bus) {
  std::size_t at = text.find("DISK");
  if (at == std::string::npos) return text;
  char letter = text.at(at + 4);
  std::string disk = bus == DiskBus::kNvme        ? "nvme" + std::to_string(letter - 'a') + "n1p"
                     : bus == DiskBus::kVirtioBlk ? std::string("vd") + letter
                                                  : std::string("sd") + letter;
  return text.replace(at, 5, disk);
}

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
    Hardware hardware{.bus = layout().home,
                      .cards = {{NetworkCard::Model::kVmxnet3, kFirstMac, 192},
                                {NetworkCard::Model::kVmxnet3, kSecondMac, 224}},
                      .uefi = layout().uefi,
                      .screen = layout().screen};
    for (const fs::path& path : exported()) hardware.disks.push_back({path, "raw"});
    return hardware;
  }
  // Here the second card is the first on the bus.
  Hardware virtio(const std::vector<fs::path>& disks, const std::string& format) const {
    Hardware hardware{
        .bus = DiskBus::kVirtioBlk,
        .cards = {{NetworkCard::Model::kVirtio, kSecondMac, 1}, {NetworkCard::Model::kVirtio, kFirstMac, 2}},
        .uefi = layout().uefi,
        .screen = layout().screen};
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
    manifest["pipeline"]["fix"] = layout().fix;
    manifest["pipeline"]["fix"]["enabled"] = true;
    if (!layout().configuration.is_null()) manifest["configuration"] = layout().configuration;
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
  void reach_login(Console& console, const std::string& name) {
    if (layout().encrypted) {
      ASSERT_EQ(console.wait_for({"Please unlock disk", kGaveUp, kDropped}, kPatience), 0u)
          << console.transcript();
      console.type(std::string(kPassphrase) + "\n");
    }
    ASSERT_EQ(console.wait_for({name + " login: ", kGaveUp, kDropped, kEmergency}, kPatience), 0u)
        << console.transcript();
    console.log_in("root", "root");
    // What the kernel has to say does not belong into answers.
    console.run("dmesg -n 1");
  }
  // The name that the guest has when it has been converted.
  std::string name_afterwards() const {
    return layout().configuration.is_null() ? layout().name
                                            : layout().configuration.value("hostname", layout().name);
  }
  void expect_all_of_it(Console& console, DiskBus bus) {
    // The prompt comes before the last card is configured.
    if (std::string state = console.run("systemctl is-system-running --wait", kPatience).text;
        state != "running") {
      ADD_FAILURE()
          << "the machine is " << state << ": "
          << console.run("systemctl --failed --no-legend --plain; journalctl -b --no-pager -p warning").text;
    }
    for (const auto& [place, source] : layout().mounts)
      EXPECT_EQ(console.run("findmnt -no SOURCE " + place).text, device_name(source, bus)) << place;
    EXPECT_EQ(console.run("swapon --show=NAME --noheadings").text,
              console.run("readlink -f " + device_name(layout().swap, bus)).text);
    bool on_virtio = bus != layout().home;
    for (const std::vector<Fact>& facts : {layout().network, layout().facts})
      for (const Fact& fact : facts)
        if (on_virtio || !fact.only_on_virtio)
          expect_soon(console, {device_name(fact.command, bus), fact.part});
    if (on_virtio) {
      EXPECT_THAT(console.transcript(), Not(HasSubstr(kNoResumeDevice)));
    } else if (layout().misses_a_disk) {
      EXPECT_THAT(console.transcript(), HasSubstr(kNoResumeDevice));
    }
    EXPECT_EQ(console.run("systemctl --failed --no-legend --plain").text, "");
  }

  // Whoever configures the cards may do so after the last service has started.
  static void expect_soon(Console& console, const Fact& fact) {
    std::string said = console
                           .run("for try in $(seq 60); do said=$(" + fact.command + "); case $said in *'" +
                                    fact.part + "'*) break ;; esac; sleep 2; done; echo \"$said\"",
                                kPatience)
                           .text;
    EXPECT_THAT(said, HasSubstr(fact.part))
        << fact.command << "\n"
        << console
               .run(
                   "ip address; journalctl -b --no-pager -u systemd-networkd -u NetworkManager -u networking")
               .text;
  }

  fs::path folder_;
  os::TemporaryDirectory output_{"guest-layout"};
};

TEST_P(GuestLayout, BootsOnVmwareHardwareBeforeTheConversion) {
  Console console = Console::start(vmware());
  ASSERT_NO_FATAL_FAILURE(reach_login(console, layout().name));
  expect_all_of_it(console, layout().home);
}

TEST_P(GuestLayout, StopsOnVirtioBeforeTheConversion) {
  Console console = Console::start(virtio(exported(), "raw"));
  EXPECT_GE(console.wait_for({layout().name + " login: ", kGaveUp, kDropped, kEmergency}, kPatience), 1u);
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
  ASSERT_NO_FATAL_FAILURE(reach_login(console, name_afterwards()));
  expect_all_of_it(console, DiskBus::kVirtioBlk);
}

// The converted disks behind a controller of virtio-scsi instead.
class GuestLayoutOnVirtioScsi : public GuestLayout {};

TEST_P(GuestLayoutOnVirtioScsi, BootsAfterTheConversion) {
  convert();
  Hardware hardware = virtio(converted(), "qcow2");
  hardware.bus = DiskBus::kVirtioScsi;
  Console console = Console::start(hardware);
  ASSERT_NO_FATAL_FAILURE(reach_login(console, name_afterwards()));
  expect_all_of_it(console, DiskBus::kVirtioScsi);
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

Layout dracut() {
  return {.name = "dracut",
          .mounts = {{"/", "/dev/DISKa3"}, {"/boot", "/dev/DISKa2"}, {"/efi", "/dev/DISKa1"}},
          .swap = "/dev/DISKa4",
          .uefi = true,
          .home = DiskBus::kNvme};
}

INSTANTIATE_TEST_SUITE_P(
    Campaign, GuestLayout,
    testing::Values(
        Layout{.name = "btrfs",
               .mounts = {{"/", "/dev/DISKa2[/@rootfs]"}, {"/home", "/dev/DISKa2[/@home]"}},
               .swap = "/dev/DISKa3"},
        dracut(),
        Layout{.name = "extlinux",
               .mounts = {{"/", "/dev/DISKa1"}},
               .swap = "/dev/DISKa2",
               .network = bond_with_vlan(),
               .facts = {{"cat /sys/power/resume", "0:0"}},
               .misses_a_disk = true},
        Layout{.name = "grub-legacy",
               .mounts = {{"/", "/dev/DISKa2"}, {"/boot", "/dev/DISKa1"}},
               .swap = "/dev/DISKa3",
               .screen = true,
               .network = bridge(),
               .facts = with(wishes_that_came_true(), resumes_from("DISKa3")),
               .fix = {{"remove_vmware_tools", true}, {"print_fstab", true}},
               .configuration = wishes()},
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
        // Its kernel is told nothing: it is the initramfs that resumes.
        Layout{.name = "raid1",
               .disks = 2,
               .mounts = {{"/", "/dev/md0"}, {"/boot", "/dev/DISKa1"}},
               .swap = "/dev/DISKb1",
               .facts = {resumes_from("DISKb1")}},
        Layout{"thin",
               1,
               {{"/", "/dev/mapper/data-root"}, {"/srv", "/dev/mapper/data-srv"}, {"/boot", "/dev/DISKa1"}},
               "/dev/mapper/data-swap"}),
    layout_name);

// dracut's image; that of initramfs-tools boots so in every run (integration_demo_guest).
INSTANTIATE_TEST_SUITE_P(Campaign, GuestLayoutOnVirtioScsi, testing::Values(dracut()), layout_name);

}  // namespace
}  // namespace hyper2kvm::integration
