// Registration against libvirt's real qemu driver, embedded in this process: what it defines, it also starts,
// under emulation, and what the guest does is read from its serial console.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "runner/libvirt/kvm.h"
#include "runner/libvirt/registration.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/os/process.h"
#include "tests/integration/libvirt_host.h"
#include "tests/integration/small_guests.h"

namespace hyper2kvm::libvirt {
namespace {

namespace fs = std::filesystem;
using integration::EmbeddedHost;
using integration::Machines;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// One driver and root a process: libvirt allows no second.
class LibvirtTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { host_ = new EmbeddedHost; }
  static void TearDownTestSuite() {
    delete host_;
    host_ = nullptr;
  }
  // Whatever a test left goes before the next one.
  void TearDown() override {
    machines().end_all();
    machines().forget_all();
  }

  Machines& machines() { return connection_; }
  contract::Libvirt settings() { return host_->settings(); }
  fs::path place(const std::string& file) { return host_->path() / file; }

  DomainFacts bios_machine(const std::string& name) {
    DomainFacts facts;
    facts.name = name;
    facts.memory_bytes = 64 << 20;
    facts.cpus = 1;
    facts.disks = {{place(name + ".raw"), contract::OutputFormat::kRaw}};
    integration::make_bios_disk(facts.disks[0].path, name + " boots");
    return facts;
  }
  DomainFacts uefi_machine(const std::string& name) {
    DomainFacts facts;
    facts.name = name;
    facts.memory_bytes = 256 << 20;
    facts.firmware = contract::Firmware::kUefi;
    facts.disks = {{place(name + ".qcow2"), contract::OutputFormat::kQcow2}};
    integration::make_uefi_disk(facts.disks[0].path, name + " boots");
    return facts;
  }
  static os::Error error_of(const contract::Libvirt& settings, const DomainFacts& facts,
                            const os::StopToken& stop = {}) {
    try {
      register_machine(settings, facts, stop);
    } catch (const os::Error& error) {
      return error;
    }
    ADD_FAILURE() << "no error";
    return os::Error(os::ErrorKind::kInternal, "", "");
  }
  void expect_valid(const std::string& xml) {
    os::write_text_atomically(place("domain.xml"), xml);
    EXPECT_NO_THROW(
        os::run_program({.arguments = {"virt-xml-validate", place("domain.xml").string(), "domain"}}))
        << xml;
  }

  static EmbeddedHost* host_;
  Machines connection_{host_->uri()};
};
EmbeddedHost* LibvirtTest::host_ = nullptr;

TEST_F(LibvirtTest, ABiosMachineBootsFromItsFirstDisk) {
  DomainFacts facts = bios_machine("first");
  facts.disks.push_back({place("second.raw"), contract::OutputFormat::kRaw});
  integration::make_bios_disk(place("second.raw"), "the wrong disk");
  facts.nics = {{"00:50:56:01:02:03", "", ""}};
  facts.os_id = "http://debian.org/debian/12";
  facts.title = "Converted from vsphere";
  contract::Libvirt start = settings();
  start.start = true;
  Registered registered = register_machine(start, facts, {});
  EXPECT_TRUE(registered.started);
  EXPECT_EQ(registered.uuid, machines().uuid("first"));
  EXPECT_EQ(registered.xml, machines().xml("first"));
  EXPECT_TRUE(machines().runs("first"));
  EXPECT_THAT(machines().wait_for_console("first", {"boots", "wrong"}), HasSubstr("first boots"));
  EXPECT_THAT(registered.xml, HasSubstr("<mac address='00:50:56:01:02:03'/>"));
  expect_valid(registered.xml);
}

TEST_F(LibvirtTest, KvmIsChosenOnlyWhereItRunsAMachine) {
  EXPECT_EQ(try_accelerator("/usr/bin/qemu-system-x86_64", "tcg", "max", {}), "");
  KvmVerdict verdict = kvm_verdict("/usr/bin/qemu-system-x86_64", {});
  Registered registered = register_machine(settings(), bios_machine("type"), {});
  if (verdict.answer == KvmVerdict::Answer::kFails) {
    EXPECT_EQ(registered.domain_type, "qemu");
    EXPECT_THAT(registered.warnings, testing::Contains(HasSubstr(verdict.reason)));
  }
  if (verdict.answer == KvmVerdict::Answer::kWorks) {
    EXPECT_EQ(registered.domain_type, "kvm");
  }
  EXPECT_THAT(registered.xml, HasSubstr("<domain type='" + registered.domain_type + "'"));
}

TEST_F(LibvirtTest, AnAcceleratorThatIsNoneSaysWhy) {
  EXPECT_THAT(try_accelerator("/usr/bin/qemu-system-x86_64", "nonsense", "max", {}), HasSubstr("nonsense"));
}

TEST_F(LibvirtTest, AUefiMachineBoots) {
  contract::Libvirt start = settings();
  start.start = true;
  Registered registered = register_machine(start, uefi_machine("uefi"), {});
  EXPECT_THAT(machines().wait_for_console("uefi", {"uefi boots"}), HasSubstr("uefi boots"));
  EXPECT_TRUE(fs::exists(host_->root() / "lib/qemu/nvram/uefi_VARS.fd"));
  expect_valid(registered.xml);
}

TEST_F(LibvirtTest, SecureBootRefusesAProgramWithoutASignature) {
  if (os::find_program("swtpm_setup").empty()) GTEST_SKIP() << "needs swtpm and swtpm-tools";
  DomainFacts facts = uefi_machine("secure");
  facts.secure_boot = true;
  facts.tpm = true;
  contract::Libvirt start = settings();
  start.start = true;
  Registered registered = register_machine(start, facts, {});
  std::string seen = machines().wait_for_console(
      "secure", {"secure boots", "Access Denied", "Security Violation"}, std::chrono::seconds(240));
  EXPECT_THAT(seen, Not(IsEmpty()));
  EXPECT_THAT(seen, Not(HasSubstr("secure boots")));
  expect_valid(registered.xml);
}

TEST_F(LibvirtTest, AGuestWithoutVirtioHasItsDisksAndNicsAllTheSame) {
  DomainFacts facts = bios_machine("sata");
  facts.virtio = false;
  facts.nics = {{}, {}};
  for (int index = 1; index < 9; ++index) {
    facts.disks.push_back({place("sata" + std::to_string(index) + ".raw"), contract::OutputFormat::kRaw});
    integration::make_bios_disk(facts.disks.back().path, "the wrong disk");
  }
  contract::Libvirt start = settings();
  start.start = true;
  Registered registered = register_machine(start, facts, {});
  EXPECT_THAT(machines().wait_for_console("sata", {"boots", "wrong"}), HasSubstr("sata boots"));
  expect_valid(registered.xml);
}

TEST_F(LibvirtTest, AMachineWithManyVirtioDisksAndNicsStarts) {
  DomainFacts facts = bios_machine("many");
  for (int index = 1; index < 30; ++index) {
    facts.disks.push_back({place("many" + std::to_string(index) + ".raw"), contract::OutputFormat::kRaw});
    integration::make_bios_disk(facts.disks.back().path, "the wrong disk");
  }
  facts.nics.resize(10);
  contract::Libvirt start = settings();
  start.start = true;
  register_machine(start, facts, {});
  EXPECT_THAT(machines().wait_for_console("many", {"boots", "wrong"}), HasSubstr("many boots"));
}

TEST_F(LibvirtTest, EveryOutputFormatStarts) {
  DomainFacts facts = bios_machine("formats");
  for (const auto& [format, name] :
       {std::pair{contract::OutputFormat::kQcow2, "qcow2"}, std::pair{contract::OutputFormat::kVdi, "vdi"}}) {
    fs::path path = place(std::string("formats.") + name);
    os::run_program({.arguments = {"qemu-img", "convert", "-f", "raw", "-O", name,
                                   place("formats.raw").string(), path.string()}});
    facts.name = std::string("format-") + name;
    facts.disks = {{path, format}};
    contract::Libvirt start = settings();
    start.start = true;
    register_machine(start, facts, {});
    EXPECT_THAT(machines().wait_for_console(facts.name, {"formats boots"}), HasSubstr("formats boots"));
  }
}

TEST_F(LibvirtTest, AWindowsGuestsClockIsTaken) {
  DomainFacts facts = bios_machine("windows");
  facts.os_id = "http://microsoft.com/win/2k22";
  contract::Libvirt start = settings();
  start.start = true;
  expect_valid(register_machine(start, facts, {}).xml);
}

TEST_F(LibvirtTest, NamesThatAreKeptAreTakenByLibvirtIndeed) {
  for (const char* name : {"Web Server 01", "DB (prod) #2", "Büro-Rechner", "100% & <more>", "a,b=c", "-x",
                           "...", "back\\slash", " edge "}) {
    DomainFacts facts = bios_machine("disk");
    facts.name = name;
    ASSERT_EQ(domain_name(name), name);
    Registered registered = register_machine(settings(), facts, {});
    EXPECT_EQ(registered.name, name);
    EXPECT_NO_THROW(machines().uuid(name)) << name;
  }
  DomainFacts facts = bios_machine("disk");
  facts.name = std::string(200, 'x');
  contract::Libvirt start = settings();
  start.start = true;
  EXPECT_NO_THROW(register_machine(start, facts, {}));
}

TEST_F(LibvirtTest, ANameThatHadToChangeIsSaid) {
  DomainFacts facts = bios_machine("disk");
  facts.name = "Team A/Web";
  Registered registered = register_machine(settings(), facts, {});
  EXPECT_EQ(registered.name, "team-aweb");
  EXPECT_THAT(registered.warnings, testing::Contains(HasSubstr("Team A/Web")));
  EXPECT_THAT(machines().names(), ElementsAre("team-aweb"));
}

TEST_F(LibvirtTest, TheNameOfTheSettingsWins) {
  contract::Libvirt named = settings();
  named.name = "chosen";
  EXPECT_EQ(register_machine(named, bios_machine("own"), {}).name, "chosen");
}

TEST_F(LibvirtTest, AnExistingNameIsAnErrorWithTheWayOut) {
  Registered first = register_machine(settings(), bios_machine("twice"), {});
  os::Error error = error_of(settings(), bios_machine("twice"));
  EXPECT_EQ(error.kind(), os::ErrorKind::kInvalid);
  EXPECT_THAT(error.sentence(), HasSubstr("domain twice: exists already"));
  EXPECT_THAT(error.advice(), HasSubstr("libvirt.overwrite"));
  EXPECT_EQ(machines().xml("twice"), first.xml);
  EXPECT_THROW(check_registration(settings(), bios_machine("twice"), {}), os::Error);
}

TEST_F(LibvirtTest, OverwriteReplacesTheDefinitionAndKeepsTheUuid) {
  Registered first = register_machine(settings(), bios_machine("again"), {});
  DomainFacts bigger = bios_machine("again");
  bigger.memory_bytes = 128 << 20;
  contract::Libvirt overwrite = settings();
  overwrite.overwrite = true;
  overwrite.start = true;
  EXPECT_NO_THROW(check_registration(overwrite, bigger, {}));
  EXPECT_EQ(machines().xml("again"), first.xml) << "a check changes nothing";
  Registered second = register_machine(overwrite, bigger, {});
  EXPECT_EQ(second.uuid, first.uuid);
  EXPECT_THAT(machines().xml("again"), HasSubstr("<memory unit='KiB'>131072</memory>"));
  EXPECT_THAT(machines().names(), ElementsAre("again")) << "no trial is left";
  EXPECT_TRUE(machines().runs("again"));
}

TEST_F(LibvirtTest, OverwriteForgetsTheUefiVariablesOfTheOldMachine) {
  contract::Libvirt start = settings();
  start.start = true;
  register_machine(start, uefi_machine("variables"), {});
  fs::path variables = host_->root() / "lib/qemu/nvram/variables_VARS.fd";
  ASSERT_TRUE(fs::exists(variables));
  machines().end("variables");
  contract::Libvirt overwrite = settings();
  overwrite.overwrite = true;
  register_machine(overwrite, uefi_machine("variables"), {});
  EXPECT_FALSE(fs::exists(variables));
}

TEST_F(LibvirtTest, ARunningMachineIsNeverOverwritten) {
  contract::Libvirt overwrite = settings();
  overwrite.start = true;
  overwrite.overwrite = true;
  Registered first = register_machine(overwrite, bios_machine("busy"), {});
  os::Error error = error_of(overwrite, bios_machine("busy"));
  EXPECT_THAT(error.sentence(), HasSubstr("runs, so it is not overwritten"));
  EXPECT_TRUE(machines().runs("busy"));
  EXPECT_EQ(machines().xml("busy"), first.xml);
}

TEST_F(LibvirtTest, AMachineWithSnapshotsIsNotOverwritten) {
  DomainFacts facts = uefi_machine("pictures");
  facts.firmware = contract::Firmware::kBios;
  register_machine(settings(), facts, {});
  machines().make_snapshot("pictures");
  contract::Libvirt overwrite = settings();
  overwrite.overwrite = true;
  EXPECT_THAT(error_of(overwrite, facts).sentence(), HasSubstr("has snapshots"));
}

TEST_F(LibvirtTest, ASavedMachineIsNotOverwritten) {
  DomainFacts facts = bios_machine("asleep");
  contract::Libvirt overwrite = settings();
  overwrite.start = true;
  overwrite.overwrite = true;
  Registered registered = register_machine(overwrite, facts, {});
  machines().save("asleep");
  EXPECT_THAT(error_of(overwrite, facts).sentence(), HasSubstr("saved"));
}

TEST_F(LibvirtTest, AutostartIsSetWhereItIsAskedFor) {
  register_machine(settings(), bios_machine("by-hand"), {});
  contract::Libvirt autostart = settings();
  autostart.autostart = true;
  register_machine(autostart, bios_machine("by-itself"), {});
  EXPECT_FALSE(machines().has_autostart("by-hand"));
  EXPECT_TRUE(machines().has_autostart("by-itself"));
}

TEST_F(LibvirtTest, AMachineThatDoesNotStartIsNotLeftDefined) {
  DomainFacts facts = bios_machine("broken");
  fs::remove(facts.disks[0].path);
  contract::Libvirt start = settings();
  start.start = true;
  os::Error error = error_of(start, facts);
  EXPECT_THAT(error.sentence(), HasSubstr("broken.raw"));
  EXPECT_THAT(machines().names(), IsEmpty());
}

TEST_F(LibvirtTest, AReplacementThatDoesNotStartLeavesTheOldMachineAsItWas) {
  contract::Libvirt start = settings();
  start.start = true;
  start.autostart = true;
  register_machine(start, uefi_machine("kept"), {});
  machines().end("kept");
  std::string before = machines().xml("kept");
  fs::path variables = host_->root() / "lib/qemu/nvram/kept_VARS.fd";
  ASSERT_TRUE(fs::exists(variables));
  DomainFacts facts = bios_machine("kept");
  fs::remove(facts.disks[0].path);
  contract::Libvirt overwrite = start;
  overwrite.overwrite = true;
  error_of(overwrite, facts);
  EXPECT_THAT(machines().names(), ElementsAre("kept"));
  EXPECT_EQ(machines().xml("kept"), before);
  EXPECT_TRUE(machines().has_autostart("kept"));
  EXPECT_TRUE(fs::exists(variables));
}

TEST_F(LibvirtTest, AStopLeavesNothing) {
  os::StopSource source;
  source.request_stop();
  EXPECT_EQ(error_of(settings(), bios_machine("stopped"), source.token()).kind(), os::ErrorKind::kCancelled);
  EXPECT_THAT(machines().names(), IsEmpty());
}

TEST_F(LibvirtTest, APoolIsRefusedByTheEmbeddedDriver) {
  contract::Libvirt pool = settings();
  pool.pool = "default";
  os::Error error = error_of(pool, bios_machine("pooled"));
  EXPECT_THAT(error.sentence(), HasSubstr("qemu:///embed, which has no storage pools"));
  EXPECT_THROW(check_registration(pool, bios_machine("pooled"), {}), os::Error);
}

TEST_F(LibvirtTest, ARootThatIsTooLongForSocketsIsRefusedBeforeAnythingIsMade) {
  fs::path root = place(std::string(60, 'x'));
  contract::Libvirt far = settings();
  far.uri = "qemu:///embed?root=" + root.string();
  EXPECT_THAT(error_of(far, bios_machine("socket")).sentence(), HasSubstr("too long for the sockets"));
  EXPECT_FALSE(fs::exists(root));
}

TEST_F(LibvirtTest, ANetworkAndABridgeAtOnceAreRefused) {
  contract::Libvirt both = settings();
  both.network = "default";
  both.bridge = "br0";
  EXPECT_THAT(error_of(both, bios_machine("both")).sentence(), HasSubstr("are both set"));
}

TEST_F(LibvirtTest, WhatLibvirtRefusesIsItsOwnSentence) {
  DomainFacts facts = bios_machine("crowd");
  facts.cpus = 4000;
  os::Error error = error_of(settings(), facts);
  EXPECT_EQ(error.kind(), os::ErrorKind::kInvalid);
  EXPECT_THAT(error.sentence(), HasSubstr("CPUs greater than"));
  EXPECT_THAT(machines().names(), IsEmpty());
}

}  // namespace
}  // namespace hyper2kvm::libvirt
