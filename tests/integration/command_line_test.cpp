// The command line as its users meet it: every kind of input gives the same machine, inspect tells what is in
// it, and what is printed suits a terminal, a pipe and a program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>

#include "runner/os/file.h"
#include "tests/integration/program.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class CommandLine : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = generated_guest("demo");
    if (folder_.empty()) GTEST_SKIP() << kNoGuests;
    ASSERT_TRUE(fs::exists(ova())) << ova() << " is missing: run tests/guests/make-demo-guest";
  }
  std::string ova() const { return (folder_ / "demo.ova").string(); }
  std::string ovf() const { return (folder_ / "demo.ovf").string(); }
  std::string disk() const { return (folder_ / "demo-disk1.vmdk").string(); }
  fs::path in(const std::string& name) const { return directory_.path() / name; }

  // Converts without a repair into a directory of that name; returns the disk.
  fs::path convert(const std::string& name, std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--no-fix", "-o", in(name).string()});
    Ran ran = run_hyper2kvm(arguments);
    EXPECT_EQ(ran.status, 0) << ran.err;
    for (const std::string& file : names_in(in(name)))
      if (file.ends_with(".qcow2")) return in(name) / file;
    ADD_FAILURE() << "no disk: " << ran.out << ran.err;
    return {};
  }

  fs::path folder_;
  os::TemporaryDirectory directory_{"command-line"};
};

TEST_F(CommandLine, InspectTellsAUserWhatIsInTheMachine) {
  std::string before = sha256(ova());
  Ran ran = run_hyper2kvm({"inspect", ova()}, directory_.path());
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, StartsWith(ova()));
  for (const char* part :
       {"  name:           demo", "  disk-0  vmdk  2.0 GiB",
        "  system:         Debian GNU/Linux 12 (bookworm), x86_64, boots by bios", "  boot loader:    grub2",
        "  foreign tools:  open-vm-tools", "disk0p1  ext4", "boots by default  lacks virtio (virtio_",
        "  changed /etc/fstab", "-/dev/sda1 ", "+UUID="})
    EXPECT_THAT(ran.out, HasSubstr(part));
  EXPECT_THAT(names_in(directory_.path()), IsEmpty());
  EXPECT_EQ(sha256(ova()), before);
}

TEST_F(CommandLine, InspectTellsAProgramTheSame) {
  Ran ran = run_hyper2kvm({"inspect", "--json", ova()});
  ASSERT_EQ(ran.status, 0) << ran.err;
  nlohmann::json seen = nlohmann::json::parse(ran.out);
  EXPECT_EQ(seen["source"]["vm_name"], "demo");
  EXPECT_EQ(seen["disks"][0]["virtual_size_bytes"], 2147483648);
  EXPECT_EQ(seen["guest"]["distribution"], "debian");
  EXPECT_EQ(seen["guest"]["partitions"][0]["type"], "ext4");
  EXPECT_FALSE(seen["guest"]["kernels"][0]["virtio_ready"].get<bool>());
  EXPECT_GE(seen["edits"].size(), 4u);
}

TEST_F(CommandLine, EveryKindOfInputGivesTheSameDisk) {
  os::write_text_atomically(in("manifest.yaml"),
                            "manifest_version: '1.0'\nsource: {provider: vsphere, vm_name: demo}\ndisks:\n"
                            "  - id: disk-0\n    source_format: vmdk\n    bytes: " +
                                std::to_string(fs::file_size(disk())) + "\n    local_path: " + disk() +
                                "\npipeline: {convert: {enabled: true}, validate: {enabled: true}}\n");
  fs::path reference = convert("ova", {"convert", ova()});
  for (const auto& [name, arguments] : std::map<std::string, std::vector<std::string>>{
           {"ovf", {"convert", ovf()}},
           {"disk", {"convert", disk(), "--name", "demo"}},
           {"manifest", {"convert", in("manifest.yaml").string()}},
           {"direct", {in("manifest.yaml").string(), "-v"}},
           {"compressed", {"convert", ova(), "--compress"}}}) {
    SCOPED_TRACE(name);
    fs::path disk = convert(name, arguments);
    must_run({"qemu-img", "compare", reference.string(), disk.string()});
  }
}

TEST_F(CommandLine, TheDirectFormWithDryRunShowsTheEditsAndWritesNothing) {
  Ran ran = run_hyper2kvm({ova(), "--dry-run", "-o", in("out").string()}, directory_.path());
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("+UUID="));
  EXPECT_THAT(names_in(directory_.path()), IsEmpty());
}

TEST_F(CommandLine, JsonLinesAreAllThatAProgramReads) {
  Ran ran = run_hyper2kvm({"convert", ova(), "--log-format=json", "-o", in("out").string()});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.err, "");
  std::istringstream lines(ran.out);
  std::set<std::string> stages;
  nlohmann::json last;
  std::map<std::string, std::uint64_t> done;
  for (std::string line; std::getline(lines, line);) {
    last = nlohmann::json::parse(line);
    ASSERT_TRUE(last.contains("event") && last.contains("time")) << line;
    if (last.contains("stage")) stages.insert(last["stage"]);
    if (last["event"] != "progress") continue;
    EXPECT_GE(last["done_bytes"].get<std::uint64_t>(), done[last["stage"]]) << line;
    done[last["stage"]] = last["done_bytes"];
  }
  EXPECT_THAT(stages, testing::IsSupersetOf({"verify", "fix", "convert", "validate", "publish"}));
  EXPECT_GE(done["convert"], fs::file_size(disk()));
  EXPECT_EQ(last["event"], "result");
  EXPECT_TRUE(fs::exists(last["output_path"].get<std::string>())) << last;
}

TEST_F(CommandLine, ATerminalGetsAProgressLineAndAPipeDoesNot) {
  std::string command = program_path().string() + " convert " + ova() + " -o ";
  std::string terminal = must_run({"script", "-qec", command + in("terminal").string(), "/dev/null"});
  EXPECT_THAT(terminal, HasSubstr("\r"));
  EXPECT_THAT(terminal, testing::ContainsRegex("[0-9]%"));
  Ran pipe = run_hyper2kvm({"convert", ova(), "-o", in("pipe").string()});
  EXPECT_THAT(pipe.out + pipe.err, Not(HasSubstr("\r")));
  EXPECT_THAT(pipe.out + pipe.err, Not(testing::ContainsRegex("[0-9]%")));
}

TEST_F(CommandLine, TheVersionIsTheOneOfTheReport) {
  Ran ran = run_hyper2kvm({"--version"});
  EXPECT_EQ(ran.status, 0);
  ASSERT_THAT(ran.out, StartsWith("hyper2kvm "));
  convert("out", {"convert", ova()});
  EXPECT_THAT(read_json(in("out") / "report.json").dump(),
              HasSubstr(ran.out.substr(10, ran.out.find_last_not_of('\n') - 9)));
}

}  // namespace
}  // namespace hyper2kvm::integration
