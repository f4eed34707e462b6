// Servers before 1.25 ignore the CEL rules of the definition: what each of them refuses is refused by the
// operator too.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <map>
#include <set>

#include "tests/unit/conversion/samples.h"

namespace hyper2kvm::conversion {
namespace {

// Every rule below a schema, with the path of what it is about.
void find_rules(const YAML::Node& schema, const std::string& path,
                std::map<std::string, std::string>& rules) {
  for (const YAML::Node& rule : schema["x-kubernetes-validations"])
    rules[path + ": " + rule["rule"].as<std::string>()] = rule["message"].as<std::string>();
  if (schema["items"]) find_rules(schema["items"], path + "[]", rules);
  for (const auto& property : schema["properties"])
    find_rules(property.second, path + (path.empty() ? "" : ".") + property.first.as<std::string>(), rules);
}

std::map<std::string, std::string> rules_of_the_definition() {
  std::map<std::string, std::string> rules;
  find_rules(YAML::LoadFile(DEFINITION)["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "", rules);
  return rules;
}

struct Case {
  const char* rule;
  const char* patch;  // of a good spec: breaks the rule
};

constexpr Case kCases[] = {
    {"spec.source: !(has(self.path) && has(self.disks))", R"({"source": {"disks": ["a.vmdk"]}})"},
    {"spec.output: (has(self.persistentVolumeClaim) ? 1 : 0) + (has(self.volumeClaimTemplate) ? 1 : 0) + "
     "(has(self.diskClaimTemplates) ? 1 : 0) == 1",
     R"({"output": {"volumeClaimTemplate": {"storage": "1Gi"}}})"},
    {"spec.output: (has(self.persistentVolumeClaim) ? 1 : 0) + (has(self.volumeClaimTemplate) ? 1 : 0) + "
     "(has(self.diskClaimTemplates) ? 1 : 0) == 1",
     R"({"output": {"persistentVolumeClaim": null}})"},
    {"spec.output: (has(self.persistentVolumeClaim) ? 1 : 0) + (has(self.volumeClaimTemplate) ? 1 : 0) + "
     "(has(self.diskClaimTemplates) ? 1 : 0) == 1",
     R"({"output": {"diskClaimTemplates": [{}]}})"},
    {"spec.register.kubevirt.networks[]: has(self.pod) != has(self.multus)",
     R"({"register": {"kubevirt": {"networks": [{"source": "a", "pod": {}, "multus": {"networkName": "b"}}]}}})"},
    {"spec.register.kubevirt.networks[]: has(self.pod) != has(self.multus)",
     R"({"register": {"kubevirt": {"networks": [{"source": "a"}]}}})"},
    {"spec.register: !(has(self.kubevirt) && has(self.libvirt))",
     R"({"register": {"kubevirt": {}, "libvirt": {"uri": "qemu+tls://h/system", "secretName": "s", "pool": "p"}}})"},
    {"spec.register.libvirt: !(has(self.network) && has(self.bridge))",
     R"({"register": {"libvirt": {"uri": "qemu+tls://h/system", "secretName": "s", "pool": "p", "network": "a",
                                  "bridge": "b"}}})"},
    {"spec.register.kubevirt.preference: has(self.name) != (has(self.fromGuest) && self.fromGuest)",
     R"({"register": {"kubevirt": {"preference": {"name": "debian", "fromGuest": true}}}})"},
    {"spec.register.kubevirt.preference: has(self.name) != (has(self.fromGuest) && self.fromGuest)",
     R"({"register": {"kubevirt": {"preference": {"kind": "VirtualMachinePreference"}}}})"},
};

TEST(Rules, ThatTheServerMayIgnoreAreKeptByTheOperator) {
  for (const Case& one : kCases) {
    Json object = sample_object();
    object["spec"].merge_patch(Json::parse(one.patch));
    Decision decision = decide(observed(read_conversion(object)));
    EXPECT_TRUE(decision.actions.empty()) << one.patch;
    EXPECT_EQ(value_of(decision.status, "Accepted"), "False") << one.patch;
    EXPECT_EQ(reason_of(decision.status, "Accepted"), "InvalidSpec") << one.patch;
  }
}

TEST(Rules, OfTheDefinitionAreAllTriedHere) {
  std::set<std::string> tried;
  for (const Case& one : kCases) tried.insert(one.rule);
  std::set<std::string> defined;
  for (const auto& [rule, message] : rules_of_the_definition()) {
    defined.insert(rule);
    EXPECT_THAT(message, testing::StartsWith("name ")) << rule;
  }
  EXPECT_EQ(tried, defined);
}

}  // namespace
}  // namespace hyper2kvm::conversion
