// The throw-away machine's command line: what it must have, and what it must never say.
#include "runner/boot/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace hyper2kvm::boot {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

Machine a_machine() {
  Machine machine;
  machine.emulator = "/usr/bin/qemu-system-x86_64";
  machine.cpus = 2;
  machine.memory_mib = 768;
  machine.disks = {{"/work/disk-0.qcow2", contract::OutputFormat::kQcow2, false, "/work/boot-0.qcow2"}};
  machine.macs = {"00:50:56:aa:bb:cc"};
  return machine;
}

// The values of one option, in order.
std::vector<std::string> values(const std::vector<std::string>& arguments, const std::string& option) {
  std::vector<std::string> found;
  for (std::size_t i = 0; i + 1 < arguments.size(); ++i)
    if (arguments[i] == option) found.push_back(arguments[i + 1]);
  return found;
}

json node(const std::vector<std::string>& arguments, const std::string& name) {
  for (const std::string& value : values(arguments, "-blockdev")) {
    json document = json::parse(value);
    if (document["node-name"] == name) return document;
  }
  return nullptr;
}

TEST(BootMachine, HasWhatItIsGiven) {
  auto arguments = arguments_of(a_machine());
  EXPECT_EQ(arguments[0], "/usr/bin/qemu-system-x86_64");
  EXPECT_THAT(values(arguments, "-smp"), Each("2"));
  EXPECT_THAT(values(arguments, "-m"), Each("768"));
  EXPECT_THAT(
      values(arguments, "-device"),
      Contains(AllOf(HasSubstr("virtio-blk-pci"), HasSubstr("drive=overlay0"), HasSubstr("bootindex=1"))));
  EXPECT_THAT(values(arguments, "-device"),
              Contains(AllOf(HasSubstr("virtio-net-pci"), HasSubstr("mac=00:50:56:aa:bb:cc"))));
  EXPECT_THAT(values(arguments, "-device"), Contains(HasSubstr("name=org.qemu.guest_agent.0")));
}

TEST(BootMachine, OnlyTheOverlayIsWritten) {
  auto arguments = arguments_of(a_machine());
  json base = node(arguments, "base0");
  EXPECT_EQ(base["read-only"], true);
  EXPECT_EQ(base["file"]["read-only"], true);
  EXPECT_EQ(base["file"]["filename"], "/work/disk-0.qcow2");
  EXPECT_TRUE(base["backing"].is_null()) << "a name in the image's header must not be followed";
  json overlay = node(arguments, "overlay0");
  EXPECT_EQ(overlay["backing"], "base0");
  EXPECT_EQ(overlay["file"]["filename"], "/work/boot-0.qcow2");
}

TEST(BootMachine, NothingReachesOutside) {
  auto arguments = arguments_of(a_machine());
  EXPECT_THAT(values(arguments, "-netdev"), Each(HasSubstr("restrict=on")));
  EXPECT_THAT(values(arguments, "-display"), Each("none"));
  EXPECT_THAT(values(arguments, "-sandbox"), Contains(HasSubstr("spawn=deny")));
  EXPECT_THAT(arguments, AllOf(Contains("-nodefaults"), Contains("-no-user-config")));
}

TEST(BootMachine, NamesOfFilesCannotBecomeOptions) {
  Machine machine = a_machine();
  machine.disks[0].image = "/work/a,file.locking=off\"}.qcow2";
  auto arguments = arguments_of(machine);
  EXPECT_EQ(node(arguments, "base0")["file"]["filename"], "/work/a,file.locking=off\"}.qcow2");
  for (const std::string& device : values(arguments, "-device")) EXPECT_THAT(device, Not(HasSubstr("/work")));
}

TEST(BootMachine, ARawDiskOnADeviceIsOpenedAsOne) {
  Machine machine = a_machine();
  machine.disks.push_back({"/dev/disks/data", contract::OutputFormat::kRaw, true, "/work/boot-1.qcow2"});
  auto arguments = arguments_of(machine);
  EXPECT_EQ(node(arguments, "base1")["driver"], "raw");
  EXPECT_EQ(node(arguments, "base1")["file"]["driver"], "host_device");
  EXPECT_FALSE(node(arguments, "base1").contains("backing"));
  std::size_t bootable = 0;
  for (const std::string& device : values(arguments, "-device"))
    bootable += device.find("bootindex") != std::string::npos ? 1 : 0;
  EXPECT_EQ(bootable, 1u);
}

TEST(BootMachine, TheAcceleratorIsTheOneThatWorks) {
  Machine machine = a_machine();
  EXPECT_THAT(values(arguments_of(machine), "-accel"), Each(HasSubstr("tcg")));
  EXPECT_THAT(values(arguments_of(machine), "-cpu"), Each("max"));
  machine.kvm = true;
  EXPECT_THAT(values(arguments_of(machine), "-accel"), Each("kvm"));
  EXPECT_THAT(values(arguments_of(machine), "-cpu"), Each("host"));
}

TEST(BootMachine, TheFirmwareIsTheMachines) {
  Machine machine = a_machine();
  EXPECT_EQ(node(arguments_of(machine), "firmware"), nullptr);
  machine.uefi = UefiFirmware{"/usr/share/OVMF/CODE.fd", "/scratch/variables.fd"};
  auto arguments = arguments_of(machine);
  EXPECT_EQ(node(arguments, "firmware")["read-only"], true);
  EXPECT_EQ(node(arguments, "variables")["read-only"], false);
  EXPECT_EQ(node(arguments, "variables")["file"]["filename"], "/scratch/variables.fd");
  EXPECT_THAT(values(arguments, "-machine"), Each(HasSubstr("pflash0=firmware,pflash1=variables")));
}

TEST(BootMachine, ManyCardsAreTooManyForAStart) {
  Machine machine = a_machine();
  machine.macs.assign(200, "");
  EXPECT_EQ(values(arguments_of(machine), "-netdev").size(), 8u);
  machine.macs.clear();
  EXPECT_THAT(values(arguments_of(machine), "-netdev"), IsEmpty());
}

}  // namespace
}  // namespace hyper2kvm::boot
