#include "runner/contract/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/contract/version.h"
#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::contract {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const std::chrono::system_clock::time_point kTime{std::chrono::seconds(1769903999)};

Report a_report() {
  Report report;
  report.timestamp = kTime;
  report.manifest_path = "/exports/m.json";
  report.manifest_version = "1.0";
  report.source_provider = "vsphere";
  report.source_vm_id = "vm-1";
  report.source_vm_name = "web01";
  report.duration_seconds = 12.5;
  report.input_disks = 2;
  report.stages.push_back(
      {.name = "verify", .success = true, .duration_seconds = 0.5, .result = {{"disks", 2}}});
  report.stages.push_back(
      {.name = "convert", .success = false, .duration_seconds = 3, .error = "disk full."});
  report.artifacts.push_back({.path = "/out/disk-0.qcow2",
                              .disk_id = "disk-0",
                              .format = "qcow2",
                              .size_bytes = 1234,
                              .virtual_size_bytes = 4096,
                              .checksum = "sha256:00",
                              .boot_order_hint = 0,
                              .compressed = true});
  report.warnings.push_back({"verify", "a warning", kTime});
  report.errors.push_back({"convert", "disk full.", kTime});
  return report;
}

TEST(Report, HasTheDocumentedShape) {
  EXPECT_EQ(to_json(a_report()), json::parse(R"({
    "version": "1.0",
    "timestamp": "2026-01-31T23:59:59Z",
    "hyper2kvm_version": ")" + std::string(hyper2kvm_version()) +
                                             R"(",
    "input_manifest": {"path": "/exports/m.json", "manifest_version": "1.0", "source_provider": "vsphere",
                       "source_vm_id": "vm-1", "source_vm_name": "web01"},
    "pipeline": {"success": false, "duration_seconds": 12.5, "stages": {
      "verify": {"success": true, "duration": 0.5, "result": {"disks": 2}},
      "convert": {"success": false, "duration": 3.0, "error": "disk full."}}},
    "artifacts": [{"type": "converted_disk", "path": "/out/disk-0.qcow2", "disk_id": "disk-0", "format": "qcow2",
                   "size_bytes": 1234, "virtual_size_bytes": 4096, "checksum": "sha256:00", "boot_order_hint": 0, "compressed": true}],
    "warnings": [{"stage": "verify", "message": "a warning", "timestamp": "2026-01-31T23:59:59Z"}],
    "errors": [{"stage": "convert", "message": "disk full.", "timestamp": "2026-01-31T23:59:59Z"}],
    "summary": {"total_stages": 2, "successful_stages": 1, "failed_stages": 1, "total_warnings": 1,
                "total_errors": 1, "total_artifacts": 1, "input_disks": 2, "output_disks": 1}
  })"));
}

TEST(Report, SaysWhatTheMachineNeedsToRunAgain) {
  Report report = a_report();
  report.machine = MachineFacts{.name = "web01",
                                .cpus = 4,
                                .mem_gb = 8,
                                .firmware = Firmware::kUefi,
                                .virtio = true,
                                .nics = {{.mac = "00:50:56:aa:bb:cc", .network = "VM Network"}},
                                .total_nics = 1,
                                .os_type = "linux",
                                .distribution = "debian",
                                .version = "12"};
  EXPECT_EQ(to_json(report)["machine"], json::parse(R"({
    "name": "web01", "cpus": 4, "mem_gb": 8, "firmware": "uefi", "secureboot": false, "virtio": true,
    "nics": [{"mac": "00:50:56:aa:bb:cc", "network": "VM Network"}], "total_nics": 1,
    "os_type": "linux", "distribution": "debian", "version": "12", "pretty_name": "", "hostname": "", "architecture": ""
  })"));
}

TEST(Report, SaysWhatTheGuestNeedsToStartAndWhatWasSeenWhenItDid) {
  Report report = a_report();
  report.boot_facts = {
      {.name = "root", .subject = "UUID=1234", .holds = true, .detail = "disk0p1 (ext4)"},
      {.name = "fstab", .subject = "UUID=5678 on /srv", .detail = "on none of the machine's disks"}};
  report.boot = BootTrial{.up = true,
                          .sign = "login prompt",
                          .seconds = 12.5,
                          .accelerator = "tcg",
                          .firmware = "bios",
                          .bytes_read = 4096,
                          .bytes_written = 512,
                          .console_tail = "web01 login: "};
  EXPECT_EQ(to_json(report)["boot_facts"], json::parse(R"json([
    {"name": "root", "subject": "UUID=1234", "holds": true, "detail": "disk0p1 (ext4)"},
    {"name": "fstab", "subject": "UUID=5678 on /srv", "holds": false, "detail": "on none of the machine's disks"}
  ])json"));
  EXPECT_EQ(to_json(report)["boot"], json::parse(R"({
    "up": true, "sign": "login prompt", "seconds": 12.5, "accelerator": "tcg", "firmware": "bios",
    "bytes_read": 4096, "bytes_written": 512, "console_tail": "web01 login: "
  })"));
  report.boot->screenshot = "/out/report.screen.png";
  EXPECT_EQ(to_json(report)["boot"]["screenshot"], "/out/report.screen.png");
}

TEST(Report, SaysWhatWentInAndWithWhatItWasMade) {
  Report report = a_report();
  report.inputs = {
      {.disk_id = "disk-0", .path = "/in/a.ova", .offset = 512, .size_bytes = 7, .checksum = "sha256:00"},
      {.disk_id = "disk-1", .path = "/in/b.vmdk", .size_bytes = 8}};
  report.tools = {{"qemu-storage-daemon", "7.2.22"}};
  EXPECT_EQ(to_json(report)["inputs"], json::parse(R"([
    {"disk_id": "disk-0", "path": "/in/a.ova", "offset": 512, "size_bytes": 7, "checksum": "sha256:00"},
    {"disk_id": "disk-1", "path": "/in/b.vmdk", "size_bytes": 8}
  ])"));
  EXPECT_EQ(to_json(report)["tools"], json::parse(R"({"qemu-storage-daemon": "7.2.22"})"));
}

TEST(Report, AStageWithoutAResultHasAnEmptyOne) {
  Report report;
  report.stages.push_back({.name = "validate", .success = true});
  EXPECT_EQ(to_json(report)["pipeline"]["stages"]["validate"]["result"], json::object());
}

TEST(Report, AChecksumThatWasNotComputedIsLeftOut) {
  Report report = a_report();
  report.artifacts[0].checksum.clear();
  EXPECT_FALSE(to_json(report)["artifacts"][0].contains("checksum"));
}

TEST(Report, CountsOnlyConvertedDisksAsOutputDisks) {
  Report report = a_report();
  report.artifacts.push_back({.type = "domain_xml", .path = "/out/web01.xml"});
  EXPECT_EQ(to_json(report)["summary"]["total_artifacts"], 2);
  EXPECT_EQ(to_json(report)["summary"]["output_disks"], 1);
}

TEST(Report, IsWrittenAndReadBack) {
  os::TemporaryDirectory directory("report-test");
  auto path = directory.path() / "report.json";
  write_report(a_report(), path);
  EXPECT_EQ(json::parse(os::read_text(path, 1 << 20)), to_json(a_report()));
}

TEST(Report, IsJsonEvenWithNamesThatAreNoUtf8) {
  os::TemporaryDirectory directory("report-test");
  auto path = directory.path() / "report.json";
  Report report = a_report();
  report.manifest_path = "/exports/\xff.json";
  write_report(report, path);
  EXPECT_THAT(json::parse(os::read_text(path, 1 << 20))["input_manifest"]["path"], HasSubstr("/exports/"));
}

TEST(Report, AFailedWriteLeavesTheOldOne) {
  os::TemporaryDirectory directory("report-test");
  auto path = directory.path() / "report.json";
  os::write_text_atomically(path, "old");
  struct Full : os::FaultHook {
    int before(Operation operation, const std::filesystem::path&, std::uint64_t, std::size_t) override {
      return operation == Operation::kSync ? ENOSPC : 0;
    }
  } full;
  os::set_fault_hook(&full);
  EXPECT_THROW(write_report(a_report(), path), os::Error);
  os::set_fault_hook(nullptr);
  EXPECT_EQ(os::read_text(path, 100), "old");
}

}  // namespace
}  // namespace hyper2kvm::contract
