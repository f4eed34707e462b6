// The statement beside the report, checked with the commands that the documentation gives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/os/file.h"
#include "runner/os/process.h"
#include "tests/integration/program.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

// The indented lines of a document, as one script for each block.
std::vector<std::string> blocks_of(const fs::path& document) {
  std::vector<std::string> blocks;
  bool inside = false;
  std::string text = os::read_text(document, 1 << 20);
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = text.find('\n', begin);
    std::string line = text.substr(begin, end - begin);
    begin = end == std::string::npos ? text.size() : end + 1;
    if (line.starts_with("    ")) {
      if (!inside) blocks.emplace_back();
      blocks.back() += line.substr(4) + "\n";
    }
    inside = line.starts_with("    ");
  }
  return blocks;
}

class Provenance : public testing::Test {
 protected:
  void SetUp() override {
    make_disk(in("a.raw"), 8, 1);
    make_disk(in("b.raw"), 4, 2);
    manifest_ = manifest_for(in("a.raw"));
    json second = manifest_["disks"][0];
    second["id"] = "second";
    second["local_path"] = in("b.raw").string();
    second["bytes"] = fs::file_size(in("b.raw"));
    second.erase("checksum");
    manifest_["disks"].push_back(second);
    manifest_["configuration"]["users"] =
        json::array({{{"name", "ada"}, {"password_hash", "$6$secretsalt$" + std::string(86, 'x')}}});
    manifest_["options"]["report"]["attest"] = true;
    manifest_["output"]["directory"] = in("output").string();
  }
  fs::path in(const std::string& name) const { return directory_.path() / name; }
  void convert() {
    write_json(in("job.json"), manifest_);
    Ran ran = run_hyper2kvm({in("job.json").string()});
    ASSERT_EQ(ran.status, 0) << ran.err;
  }
  json statement() const { return read_json(in("output") / "report.intoto.json"); }
  // The documentation's commands one after the other; false where one of them finds a fault.
  bool passes() const {
    for (const std::string& block : blocks_of(PROVENANCE_DOCUMENT)) {
      os::ProcessOptions options;
      options.arguments = {"bash", "-c", "set -euo pipefail\n" + block};
      options.working_directory = in("output");
      os::Process process = os::Process::start(options);
      if (!process.wait({}, std::chrono::minutes(1)).success()) return false;
    }
    return true;
  }
  os::TemporaryDirectory directory_{"provenance"};
  json manifest_;
};

TEST_F(Provenance, TheDocumentedCommandsAcceptWhatWasPublishedAndNothingElse) {
  ASSERT_EQ(blocks_of(PROVENANCE_DOCUMENT).size(), 3u);
  convert();
  EXPECT_TRUE(passes());
  for (const char* name : {"output/second.qcow2", "output/report.json", "b.raw"}) {
    fs::path file = in(name);
    std::string whole = os::read_text(file, 64u << 20);
    std::string changed = whole;
    changed[changed.size() / 2] = static_cast<char>(changed[changed.size() / 2] ^ 1);
    os::write_text_atomically(file, changed);
    EXPECT_FALSE(passes()) << name;
    os::write_text_atomically(file, whole);
    EXPECT_TRUE(passes()) << name;
  }
}

TEST_F(Provenance, EveryInputAndOutputHasItsDigestAlsoWithoutAValidation) {
  manifest_["pipeline"]["validate"]["enabled"] = false;
  convert();
  json told = statement();
  EXPECT_EQ(told["_type"], "https://in-toto.io/Statement/v1");
  EXPECT_EQ(told["predicateType"], "https://slsa.dev/provenance/v1");
  ASSERT_EQ(told["subject"].size(), 2u);
  EXPECT_EQ(told["subject"][1]["name"], "second.qcow2");
  EXPECT_EQ(told["subject"][1]["digest"]["sha256"], sha256(in("output") / "second.qcow2"));
  const json& inputs = told["predicate"]["buildDefinition"]["resolvedDependencies"];
  ASSERT_EQ(inputs.size(), 2u);
  EXPECT_EQ(inputs[1]["uri"], "file://" + in("b.raw").string());
  EXPECT_EQ(inputs[1]["digest"]["sha256"], sha256(in("b.raw")));
  const json& versions = told["predicate"]["runDetails"]["builder"]["version"];
  for (const char* tool : {"hyper2kvm", "qemu-img", "qemu-storage-daemon"})
    EXPECT_TRUE(versions.contains(tool));
}

TEST_F(Provenance, SecretsOfTheManifestAreNotInIt) {
  convert();
  EXPECT_THAT(statement().dump(), testing::Not(HasSubstr("secret")));
}

TEST_F(Provenance, NothingIsStatedUnlessAskedFor) {
  manifest_["options"]["report"].erase("attest");
  convert();
  EXPECT_FALSE(fs::exists(in("output") / "report.intoto.json"));
  EXPECT_EQ(read_json(in("output") / "report.json")["inputs"][0]["size_bytes"], fs::file_size(in("a.raw")));
}

}  // namespace
}  // namespace hyper2kvm::integration
