// What a user can do wrong or be given that is wrong: one sentence, exit status 1 or 2, and nothing left
// behind but the report.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "runner/os/file.h"
#include "tests/integration/program.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class BadInput : public testing::Test {
 protected:
  void SetUp() override {
    make_disk(disk(), 8);
    manifest_ = manifest_for(disk());
  }
  fs::path in(const std::string& name) const { return directory_.path() / name; }
  fs::path disk() const { return in("disk.raw"); }
  fs::path output() const { return in("output"); }

  // Converts the manifest as it is now.
  Ran convert() {
    write_json(in("manifest.json"), manifest_);
    return run_hyper2kvm({in("manifest.json").string()});
  }
  // One line that begins as every error of the program does.
  void expect_one_sentence(const Ran& ran, int status, const std::string& part) {
    EXPECT_EQ(ran.status, status) << ran.err;
    std::string last = ran.err.substr(0, ran.err.find_last_not_of('\n') + 1);
    last = last.substr(last.rfind('\n') == std::string::npos ? 0 : last.rfind('\n') + 1);
    EXPECT_THAT(last, testing::StartsWith("hyper2kvm: "));
    EXPECT_THAT(last, HasSubstr(part));
  }
  void expect_only_the_report() {
    EXPECT_THAT(names_in(output()), ElementsAre("report.json"));
    nlohmann::json report = read_json(output() / "report.json");
    EXPECT_FALSE(report["pipeline"]["success"].get<bool>());
    EXPECT_GE(report["errors"].size(), 1u);
    EXPECT_THAT(report["artifacts"], IsEmpty());
  }

  os::TemporaryDirectory directory_{"bad-input"};
  nlohmann::json manifest_;
};

TEST_F(BadInput, TheManifestThatTheseTestsBendIsGood) {
  Ran ran = convert();
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("Output: " + (output() / "disk-0.qcow2").string()));
  must_run({"qemu-img", "compare", disk().string(), (output() / "disk-0.qcow2").string()});
}

TEST_F(BadInput, AMissingDisk) {
  fs::remove(disk());
  expect_one_sentence(convert(), 1, "does not exist");
  expect_only_the_report();
}

TEST_F(BadInput, ATruncatedDisk) {
  fs::resize_file(disk(), 1 << 20);
  expect_one_sentence(convert(), 1, "has 1048576 bytes and the manifest says 8388608");
  expect_only_the_report();
}

TEST_F(BadInput, AWrongChecksum) {
  manifest_["disks"][0]["checksum"] = "sha256:" + std::string(64, '0');
  expect_one_sentence(convert(), 1, "SHA-256");
  expect_only_the_report();
}

TEST_F(BadInput, AWrongChecksumWhereNothingIsConverted) {
  manifest_.erase("pipeline");
  manifest_["disks"][0]["checksum"] = "sha256:" + std::string(64, '0');
  expect_one_sentence(convert(), 1, "SHA-256");
  expect_only_the_report();
}

TEST_F(BadInput, AManifestOfAnotherMajorVersion) {
  manifest_["manifest_version"] = "2.0";
  expect_one_sentence(convert(), 2, "2.0");
  EXPECT_FALSE(fs::exists(output()));
}

TEST_F(BadInput, ADuplicateId) {
  manifest_["disks"].push_back(manifest_["disks"][0]);
  expect_one_sentence(convert(), 1, "disk-0");
}

TEST_F(BadInput, AManifestThatIsNone) {
  os::write_text_atomically(in("manifest.json"), "{\"test\": true}");
  expect_one_sentence(run_hyper2kvm({in("manifest.json").string()}), 2, "manifest_version");
}

TEST_F(BadInput, AnOutputThatIsAnInput) {
  fs::path own = in("disk-0.raw");
  fs::rename(disk(), own);
  manifest_["disks"][0]["local_path"] = own.string();
  manifest_["output"] = {{"directory", directory_.path().string()}, {"format", "raw"}};
  std::string before = sha256(own);
  expect_one_sentence(convert(), 1, "is an input of this job");
  EXPECT_EQ(sha256(own), before);
}

TEST_F(BadInput, AnOutputThatIsALinkToAnInput) {
  os::make_directories(output());
  fs::create_symlink(disk(), output() / "disk-0.raw");
  manifest_["output"] = {{"format", "raw"}};
  std::string before = sha256(disk());
  expect_one_sentence(convert(), 1, "is an input of this job");
  EXPECT_EQ(sha256(disk()), before);
}

TEST_F(BadInput, AReportThatWouldOverwriteTheDisk) {
  manifest_["output"] = {{"directory", directory_.path().string()}};
  manifest_["options"] = {{"report", {{"path", "disk.raw"}}}};
  std::string before = sha256(disk());
  expect_one_sentence(convert(), 1, "is an input of this job");
  EXPECT_EQ(sha256(disk()), before);
}

// A tmpfs of a few MiB is a full disk that is really full.
class FullDisk : public BadInput {
 protected:
  void SetUp() override {
    BadInput::SetUp();
    os::make_directories(output());
    mounted_ = std::system(("mount -t tmpfs -o size=2m tmpfs " + output().string()).c_str()) == 0;
    if (!mounted_) GTEST_SKIP() << "a small tmpfs cannot be mounted here (needs root)";
  }
  void TearDown() override {
    if (mounted_) must_run({"umount", output().string()});
  }
  bool mounted_ = false;
};

TEST_F(FullDisk, IsNamedAndNothingIsLeftOnIt) {
  expect_one_sentence(convert(), 1, "No space left on device");
  expect_only_the_report();
}

TEST_F(BadInput, AGuestThatNobodyKnows) {
  manifest_["pipeline"]["fix"] = {{"enabled", true}};
  expect_one_sentence(convert(), 1, "machine");
  expect_only_the_report();
}

TEST_F(BadInput, AnEncryptedGuestWithoutAKey) {
  os::write_text_atomically(in("key"), "secret");
  must_run({"cryptsetup", "luksFormat", "--batch-mode", "--type", "luks1", "--iter-time", "10", "--key-file",
            in("key").string(), disk().string()});
  manifest_["pipeline"]["fix"] = {{"enabled", true}};
  expect_one_sentence(convert(), 1, "encrypted");
  expect_only_the_report();
}

TEST_F(BadInput, ARepairWithoutAConversion) {
  manifest_["pipeline"] = {{"fix", {{"enabled", true}}}};
  expect_one_sentence(convert(), 1, "pipeline.fix");
}

class BadOva : public BadInput {
 protected:
  Ran convert_ova() {
    return run_hyper2kvm({"convert", in("machine.ova").string(), "-o", output().string()});
  }
  void write_ovf(const std::string& href, std::uint64_t size) {
    os::write_text_atomically(in("machine.ovf"), R"(<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
<References><File ovf:href=")" + href + R"(" ovf:id="file1" ovf:size=")" +
                                                     std::to_string(size) + R"("/></References>
<DiskSection><Info/><Disk ovf:capacity="8" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="d1" ovf:fileRef="file1" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/></DiskSection>
<VirtualSystem ovf:id="machine"><Info/><Name>machine</Name><VirtualHardwareSection><Info/>
<Item><rasd:InstanceID>3</rasd:InstanceID><rasd:ElementName>SCSI</rasd:ElementName><rasd:ResourceType>6</rasd:ResourceType><rasd:Address>0</rasd:Address></Item>
<Item><rasd:InstanceID>4</rasd:InstanceID><rasd:ElementName>Disk</rasd:ElementName><rasd:Parent>3</rasd:Parent><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/d1</rasd:HostResource><rasd:ResourceType>17</rasd:ResourceType></Item>
</VirtualHardwareSection></VirtualSystem></Envelope>)");
  }
  void make_vmdk() {
    must_run({"qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized", disk().string(),
              in("disk.vmdk").string()});
  }
  void pack(const std::vector<std::string>& extra = {}) {
    std::vector<std::string> command = {"tar", "--format=ustar",          "-C", directory_.path().string(),
                                        "-cf", in("machine.ova").string()};
    command.insert(command.end(), extra.begin(), extra.end());
    command.insert(command.end(), {"machine.ovf", "disk.vmdk"});
    must_run(command);
  }
};

TEST_F(BadOva, TheOneThatTheseTestsBendIsGood) {
  make_vmdk();
  write_ovf("disk.vmdk", fs::file_size(in("disk.vmdk")));
  pack();
  Ran ran = run_hyper2kvm({"convert", in("machine.ova").string(), "-o", output().string(), "--no-fix"});
  EXPECT_EQ(ran.status, 0) << ran.err;
}

TEST_F(BadOva, AMemberWithAPathTrick) {
  make_vmdk();
  write_ovf("../../disk.vmdk", fs::file_size(in("disk.vmdk")));
  pack({"--transform=s,^disk.vmdk,../../disk.vmdk,", "--absolute-names"});
  expect_one_sentence(convert_ova(), 1, "../../disk.vmdk");
  EXPECT_FALSE(fs::exists(output()) && !fs::is_empty(output()) &&
               names_in(output()) != std::vector<std::string>{"report.json"});
}

TEST_F(BadOva, ATruncatedArchive) {
  make_vmdk();
  write_ovf("disk.vmdk", fs::file_size(in("disk.vmdk")));
  pack();
  fs::resize_file(in("machine.ova"), fs::file_size(in("machine.ova")) / 2);
  expect_one_sentence(convert_ova(), 1, "machine.ova");
}

TEST_F(BadOva, ADiskThatTheArchiveLacks) {
  make_vmdk();
  write_ovf("other.vmdk", fs::file_size(in("disk.vmdk")));
  pack();
  expect_one_sentence(convert_ova(), 1, "other.vmdk");
}

TEST_F(BadOva, AVmdkWhoseTablesLie) {
  make_vmdk();
  // qemu-img puts the grain directory's place into the header; the first entry of its first table now points
  // far past the end.
  std::string text = os::read_text(in("disk.vmdk"), 64u << 20);
  std::uint64_t directory_sector = 0;
  std::memcpy(&directory_sector, text.data() + 56, sizeof directory_sector);
  ASSERT_LT(directory_sector, text.size() / 512);
  std::uint32_t table_sector = 0;
  std::memcpy(&table_sector, text.data() + directory_sector * 512, sizeof table_sector);
  ASSERT_LT(std::uint64_t{table_sector} * 512 + 4, text.size());
  std::uint32_t lie = 0x7fffffff;
  os::File file = os::File::open(in("disk.vmdk"), os::File::Mode::kReadWrite);
  file.write_at(std::uint64_t{table_sector} * 512, std::as_bytes(std::span(&lie, 1)));
  file.close();
  write_ovf("disk.vmdk", fs::file_size(in("disk.vmdk")));
  pack();
  Ran ran = run_hyper2kvm({"convert", in("machine.ova").string(), "-o", output().string(), "--no-fix"});
  expect_one_sentence(ran, 1, "grain");
  expect_only_the_report();
}

TEST_F(BadOva, AGrainWhoseContentWasChanged) {
  make_vmdk();
  std::string text = os::read_text(in("disk.vmdk"), 64u << 20);
  os::File file = os::File::open(in("disk.vmdk"), os::File::Mode::kReadWrite);
  // Grains begin at the overhead; 40 bytes on is inside the first grain's data.
  std::uint64_t overhead = 0;
  std::memcpy(&overhead, text.data() + 64, sizeof overhead);
  std::uint8_t flipped = static_cast<std::uint8_t>(text[overhead * 512 + 40]) ^ 0xff;
  file.write_at(overhead * 512 + 40, std::as_bytes(std::span(&flipped, 1)));
  file.close();
  write_ovf("disk.vmdk", fs::file_size(in("disk.vmdk")));
  pack();
  Ran ran = run_hyper2kvm({"convert", in("machine.ova").string(), "-o", output().string(), "--no-fix"});
  expect_one_sentence(ran, 1, "grain");
  expect_only_the_report();
}

TEST(BadCommandLine, NoInput) {
  Ran ran = run_hyper2kvm({"convert"});
  EXPECT_EQ(ran.status, 2);
}

TEST(BadCommandLine, AnUnknownOption) {
  Ran ran = run_hyper2kvm({"convert", "--no-such-option", "x"});
  EXPECT_EQ(ran.status, 2);
  EXPECT_THAT(ran.err, HasSubstr("--no-such-option"));
}

TEST(BadCommandLine, AnInputThatIsNotThere) {
  Ran ran = run_hyper2kvm({"convert", "/no/such/file.ova"});
  EXPECT_NE(ran.status, 0);
  EXPECT_THAT(ran.err, HasSubstr("/no/such/file.ova"));
}

}  // namespace
}  // namespace hyper2kvm::integration
