// Every file in examples/kubernetes, applied to a real API server and brought to its end by the operator.
// Where the environment says where KubeVirt's definitions are, they are the ones that the machines are held
// against.
#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tests/e2e/conversion/conversions.h"

namespace hyper2kvm::conversion {
namespace {

std::vector<std::filesystem::path> files() {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(argument("--examples")))
    if (entry.path().extension() == ".yaml") found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

// What of `wanted` is not in `kept`, by its path; empty where all is. Defaults may have come to it.
std::string lacking(const Json& wanted, const Json& kept, const std::string& path = "spec") {
  if (wanted.is_object()) {
    for (const auto& [name, value] : wanted.items()) {
      if (!kept.is_object() || !kept.contains(name)) return path + "." + name;
      if (std::string lack = lacking(value, kept[name], path + "." + name); !lack.empty()) return lack;
    }
    return "";
  }
  if (wanted.is_array()) {
    if (!kept.is_array() || kept.size() != wanted.size()) return path;
    for (std::size_t i = 0; i < wanted.size(); ++i)
      if (std::string lack = lacking(wanted[i], kept[i], path + "[" + std::to_string(i) + "]"); !lack.empty())
        return lack;
    return "";
  }
  return wanted == kept ? "" : path;
}

class Examples : public Conversions {
 protected:
  void SetUp() override {
    Conversions::SetUp();
    if (const char* folder = std::getenv("HYPER2KVM_KUBEVIRT_CRDS"))
      for (const char* name : {"virtualmachines.kubevirt.io", "datavolumes.cdi.kubevirt.io"})
        definitions_.push_back(std::string(folder) + "/" + name + ".yaml");
    for (const std::string& definition : definitions_) kubectl({"create", "-f", definition});
  }
  void TearDown() override {
    Conversions::TearDown();
    for (const std::string& definition : definitions_)
      kubectl({"delete", "--ignore-not-found", "-f", definition});
  }
  bool has_kubevirt() const { return !definitions_.empty(); }

  // As it stands in the file.
  static Json written(const std::filesystem::path& file) {
    return Json::parse(
        kubectl({"create", "--dry-run=client", "--validate=false", "-o", "json", "-f", file.string()}));
  }
  // As the server keeps it. kubectl checks nothing itself: the server is asked.
  Json apply(const std::filesystem::path& file) {
    return Json::parse(
        kubectl({"apply", "--validate=false", "-n", name_space, "-o", "json", "-f", file.string()}));
  }
  // Why the server refuses an example in which one text is another; empty where it takes it.
  std::string refusal(const char* example, const std::string& from, const std::string& to) {
    std::ifstream file(argument("--examples") + "/" + example);
    std::string text((std::istreambuf_iterator<char>(file)), {});
    const std::size_t at = text.find(from);
    if (at == std::string::npos) return "";
    text.replace(at, from.size(), to);
    const std::filesystem::path wrong = std::filesystem::path(testing::TempDir()) / "wrong-example.yaml";
    std::ofstream(wrong) << text;
    try {
      kubectl({"apply", "--validate=false", "-n", name_space, "-f", wrong.string()});
      return "";
    } catch (const os::Error& error) {
      return error.sentence();
    }
  }
  std::string accepted(const std::string& name) {
    return kube::find_condition(status_of(name).conditions, "Accepted").value_or(kube::Condition{}).status;
  }
  // Each runner ends as one does that has looked at a machine with two disks, or has converted it.
  void end_all_runners() {
    if (has_kubevirt()) play_cdi();
    for (const Json& pod : pods()) {
      if (has_ended(pod) || kube::is_being_deleted(pod)) continue;
      end(pod, kube::label_of(pod, "job-name").ends_with("-survey") ? survey(2) : success_with_machine());
    }
  }

 private:
  std::vector<std::string> definitions_;
};

TEST_F(Examples, AreTakenByTheServerAndBroughtToTheirEnds) {
  start_operator({"--max-running=0"});
  std::vector<std::string> names;
  for (const std::filesystem::path& file : files()) {
    SCOPED_TRACE(file.filename().string());
    const Json kept = apply(file);
    EXPECT_EQ(lacking(written(file)["spec"], kept["spec"]), "") << "the server has dropped it";
    names.push_back(kube::key_of(kept).name);
  }
  ASSERT_GE(names.size(), 5u);
  for (const std::string& name : names)
    EXPECT_TRUE(eventually([&] { return accepted(name) == "True"; }))
        << name << ": " << status_of(name).message;
  auto is_over = [&](const std::string& name) {
    if (status_of(name).phase == Phase::kSucceeded) return true;
    // Without KubeVirt's definitions a machine is waited for, and DataVolumes are.
    const std::string reason = reason_of(name, "Ready");
    return !has_kubevirt() && (reason == "KubeVirtMissing" || reason == "CDIMissing");
  };
  for (const std::string& name : names) {
    EXPECT_TRUE(eventually([&] {
      end_all_runners();
      return is_over(name);
    })) << name
        << ": " << status_of(name).message;
  }
}

TEST_F(Examples, ThatAreWrongAreRefusedWithThePlace) {
  EXPECT_THAT(refusal("disks.yaml", "format: qcow2", "format: vmdk"),
              testing::HasSubstr("spec.output.format"));
  EXPECT_THAT(refusal("pipeline.yaml", "timeout_seconds: 900", "timeout_seconds: soon"),
              testing::HasSubstr("spec.pipeline.validate.boot.timeout_seconds"));
  EXPECT_THAT(refusal("kubevirt.yaml", "runStrategy: Always", "runStrategy: Sometimes"),
              testing::HasSubstr("spec.register.kubevirt.runStrategy"));
  EXPECT_THAT(refusal("libvirt.yaml", "qemu+tls://kvm1.example.org/system", "qemu:///system"),
              testing::HasSubstr("spec.register.libvirt.uri"));
  EXPECT_THAT(refusal("libvirt.yaml", "pool: default", ""), testing::HasSubstr("spec.register.libvirt.pool"));
  EXPECT_THAT(refusal("block.yaml", "volumeMode: Block", "volumeMode: Brick"),
              testing::HasSubstr("spec.output.volumeClaimTemplate.volumeMode"));
}

}  // namespace
}  // namespace hyper2kvm::conversion
