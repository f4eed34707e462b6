#include "runner/contract/termination.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/os/error.h"

namespace hyper2kvm::contract {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::StartsWith;

Report failed_report(const std::string& message) {
  Report report;
  report.manifest_path = "/source/m.json";
  report.source_vm_name = "web01";
  report.duration_seconds = 1.5;
  report.stages.push_back({.name = "verify", .success = true});
  report.stages.push_back({.name = "convert", .success = false, .error = message});
  report.errors.push_back({"convert", message, {}});
  return report;
}

TEST(TerminationMessage, SaysWhatASuccessMade) {
  Report report;
  report.success = true;
  report.source_vm_name = "web01";
  report.artifacts.push_back({.path = "/out/disk-0.qcow2",
                              .disk_id = "disk-0",
                              .format = "qcow2",
                              .size_bytes = 7,
                              .virtual_size_bytes = 1u << 30,
                              .boot_order_hint = 0});
  report.warnings.push_back({"fix", "no guest agent", {}});
  TerminationResult result = parse_termination_message(to_termination_message(report));
  EXPECT_TRUE(result.success);
  EXPECT_EQ(result.error, "");
  EXPECT_EQ(result.failed_stage, "");
  EXPECT_EQ(result.source_vm_name, "web01");
  ASSERT_EQ(result.disks.size(), 1u);
  EXPECT_EQ(result.disks[0].disk_id, "disk-0");
  EXPECT_EQ(result.disks[0].path, "/out/disk-0.qcow2");
  EXPECT_EQ(result.disks[0].format, "qcow2");
  EXPECT_EQ(result.disks[0].size_bytes, 7u);
  EXPECT_EQ(result.disks[0].virtual_size_bytes, 1u << 30);
  EXPECT_EQ(result.disks[0].boot_order_hint, 0);
  EXPECT_THAT(result.warnings, ElementsAre("no guest agent"));
}

TEST(TerminationMessage, NamesTheDomainThatWasMade) {
  Report report;
  report.success = true;
  report.stages.push_back({.name = "register", .success = true, .result = {{"domain", "Web 01"}}});
  EXPECT_EQ(parse_termination_message(to_termination_message(report)).domain, "Web 01");
  report.stages[0].result = {{"domain", 7}};
  EXPECT_EQ(parse_termination_message(to_termination_message(report)).domain, "");
  report.stages[0] = {.name = "register", .success = false, .error = "refused"};
  report.success = false;
  EXPECT_EQ(parse_termination_message(to_termination_message(report)).domain, "");
}

MachineFacts machine_with_nics(std::size_t count) {
  MachineFacts machine{.name = "web01", .cpus = 2, .mem_gb = 4, .firmware = Firmware::kBios};
  for (std::size_t i = 0; i < count; ++i)
    machine.nics.push_back({.mac = "00:50:56:00:00:" + std::to_string(10 + i), .network = "VM Network"});
  machine.total_nics = count;
  machine.pretty_name = "Debian \"12\"\n";
  return machine;
}

TEST(TerminationMessage, ADiskThatWouldBeMadeIsNotTakenForOneThatIsThere) {
  Report report;
  report.success = true;
  report.artifacts.push_back({.disk_id = "disk-0", .format = "raw", .virtual_size_bytes = 1u << 30});
  EXPECT_FALSE(parse_termination_message(to_termination_message(report)).dry_run);
  report.artifacts[0].type = kPlannedDisk;
  TerminationResult result = parse_termination_message(to_termination_message(report));
  EXPECT_TRUE(result.dry_run);
  EXPECT_EQ(result.total_disks, 1u);
  EXPECT_EQ(result.disks[0].virtual_size_bytes, 1u << 30);
}

TEST(TerminationMessage, SaysWhatTheMachineNeedsToRunAgain) {
  Report report;
  report.success = true;
  report.machine = machine_with_nics(2);
  TerminationResult result = parse_termination_message(to_termination_message(report));
  ASSERT_TRUE(result.machine);
  EXPECT_EQ(result.machine->cpus, 2u);
  EXPECT_EQ(result.machine->mem_gb, 4u);
  EXPECT_EQ(result.machine->firmware, Firmware::kBios);
  EXPECT_EQ(result.machine->pretty_name, "Debian \"12\" ");
  ASSERT_EQ(result.machine->nics.size(), 2u);
  EXPECT_EQ(result.machine->nics[1].mac, "00:50:56:00:00:11");
  EXPECT_EQ(result.machine->nics[1].network, "VM Network");
}

TEST(TerminationMessage, OfManyNicsHoldsThoseThatFit) {
  Report report;
  report.success = true;
  report.machine = machine_with_nics(80);
  report.artifacts.push_back({.path = "/out/disk-0.qcow2", .disk_id = "disk-0", .format = "qcow2"});
  TerminationResult result = parse_termination_message(to_termination_message(report));
  ASSERT_TRUE(result.machine);
  EXPECT_GT(result.machine->nics.size(), 5u);
  EXPECT_LT(result.machine->nics.size(), 80u);
  EXPECT_EQ(result.machine->total_nics, 80u);
  EXPECT_EQ(result.disks.size(), 1u);
}

TEST(TerminationMessage, SaysWhichStageFailedAndWhy) {
  TerminationResult result = parse_termination_message(to_termination_message(failed_report("disk full.")));
  EXPECT_FALSE(result.success);
  EXPECT_EQ(result.failed_stage, "convert");
  EXPECT_EQ(result.error, "disk full.");
  EXPECT_EQ(result.manifest_path, "/source/m.json");
  EXPECT_EQ(result.duration_seconds, 1.5);
}

TEST(TerminationMessage, SaysWhetherAFailureMayPassByTryingAgain) {
  Report report = failed_report("the disk is full.");
  EXPECT_TRUE(parse_termination_message(to_termination_message(report, true)).may_pass);
  EXPECT_FALSE(parse_termination_message(to_termination_message(report, false)).may_pass);
}

TEST(TerminationMessage, IsNeverLongerThanKubernetesKeeps) {
  Report report = failed_report("First. " + std::string(20'000, 'e'));
  for (int i = 0; i < 300; ++i) {
    report.artifacts.push_back(
        {.path = std::string(200, 'p'), .disk_id = std::to_string(i), .format = "qcow2"});
    report.warnings.push_back({"fix", std::string(1000, 'w'), {}});
  }
  std::string text = to_termination_message(report);
  EXPECT_LE(text.size(), 4096u);
  TerminationResult result = parse_termination_message(text);
  EXPECT_EQ(result.total_disks, 300u);
  EXPECT_EQ(result.total_warnings, 300u);
  EXPECT_THAT(result.error, StartsWith("First. eee"));
  EXPECT_THAT(result.error, EndsWith("..."));
  EXPECT_GT(result.disks.size(), 0u);
  EXPECT_LT(result.disks.size(), 300u);
}

TEST(TerminationMessage, ALongErrorIsCutAfterTheWarningsAreGone) {
  Report report = failed_report(std::string(3000, 'e'));
  for (int i = 0; i < 50; ++i) report.warnings.push_back({"fix", std::string(200, 'w'), {}});
  TerminationResult result = parse_termination_message(to_termination_message(report));
  EXPECT_EQ(result.error, std::string(3000, 'e'));
  EXPECT_LT(result.warnings.size(), 50u);
  EXPECT_EQ(result.total_warnings, 50u);
}

TEST(TerminationMessage, HoldsTextThatDoublesWhenItIsEscaped) {
  std::string text = to_termination_message(failed_report(std::string(4000, '"')));
  EXPECT_LE(text.size(), 4096u);
  EXPECT_GE(parse_termination_message(text).error.size(), 256u);
}

TEST(TerminationMessage, WhatIsNoneIsRefused) {
  for (const std::string& text : {std::string(""), std::string("Killed"), std::string("{}"),
                                  std::string("[]"), std::string(R"({"success": "yes"})"),
                                  std::string(R"({"success": true, "disks": 7})"), std::string(5000, ' ')}) {
    try {
      parse_termination_message(text);
      FAIL() << text;
    } catch (const os::Error& error) {
      EXPECT_EQ(error.kind(), os::ErrorKind::kInvalid);
    }
  }
}

}  // namespace
}  // namespace hyper2kvm::contract
