// docs/artifact-manifest.schema.json and the parser say the same: the same documents are good, and each knows
// the keys that the other knows. schema_test.py holds the schema itself against the same table.
#include <gmock/gmock.h>

#include <set>

#include "runner/contract/sections.h"
#include "runner/os/file.h"
#include "tests/unit/contract/documents.h"

namespace hyper2kvm::contract {
namespace {

using nlohmann::json;

json file(const char* path) { return json::parse(os::read_text(path, 16u << 20)); }

// Every path below a schema: "disks[].id", "pipeline.fix.backup".
void collect(const json& root, const json& schema, const std::string& path, std::set<std::string>& keys) {
  if (schema.contains("$ref")) {
    std::string reference = schema["$ref"];
    collect(root, root.at(json::json_pointer(reference.substr(1))), path, keys);
  }
  if (schema.contains("anyOf"))
    for (const json& one : schema["anyOf"]) collect(root, one, path, keys);
  if (schema.contains("items")) collect(root, schema["items"], path + "[]", keys);
  if (!schema.contains("properties")) return;
  for (const auto& [key, below] : schema["properties"].items()) {
    std::string name = path.empty() ? key : path + "." + key;
    keys.insert(name);
    collect(root, below, name, keys);
  }
}

// A document that makes the parser look at every key it knows: an empty object of every kind.
std::set<std::string> keys_of_the_parser() {
  json document = small_manifest();
  for (const char* key : {"source", "vm", "output", "libvirt"}) document[key] = json::object();
  document["nics"] = json::array({json::object()});
  document["warnings"] = json::array({{{"message", "m"}}});
  for (const char* stage : {"inspect", "fix", "convert", "validate"})
    document["pipeline"][stage] = json::object();
  document["pipeline"]["validate"]["boot"] = json::object();
  document["options"]["report"] = json::object();
  document["configuration"] = {{"users", json::array({{{"name", "a"}}})},
                               {"services", json::object()},
                               {"hostname", "a"},
                               {"network", {{"files", json::object()}}}};
  Reading reading;
  reading.name = "m.json";
  read_manifest(read_json(document.dump(), "m.json"), reading);
  document["configuration"]["users"] = {{"users", document["configuration"]["users"]}};
  document["configuration"]["hostname"] = {{"hostname", "a"}};
  read_manifest(read_json(document.dump(), "m.json"), reading);
  return reading.known_keys;
}

TEST(Schema, KnowsTheKeysThatTheParserKnows) {
  json schema = file(SCHEMA_FILE);
  std::set<std::string> keys;
  collect(schema, schema, "", keys);
  EXPECT_THAT(keys, ::testing::ContainerEq(keys_of_the_parser()));
  EXPECT_GT(keys.size(), 80u);
}

TEST(Schema, TheParserAcceptsExactlyTheGoodDocuments) {
  std::size_t good = 0;
  std::size_t bad = 0;
  for (const json& entry : file(DOCUMENTS_FILE)) {
    Refusal refused = refusal_of_text(entry["document"].dump());
    bool accepted = refused.sentence == "(accepted)";
    EXPECT_EQ(accepted, entry["good"].get<bool>()) << entry["name"] << ": " << refused.sentence;
    ++(accepted ? good : bad);
  }
  EXPECT_GT(good, 100u);
  EXPECT_GT(bad, 100u);
}

TEST(Schema, EveryGoodDocumentIsWrittenOutAndReadBackAsTheSameManifest) {
  for (const json& entry : file(DOCUMENTS_FILE)) {
    if (!entry["good"]) continue;
    json once = to_json(manifest_of(entry["document"]));
    ParsedManifest again = parsed(once);
    EXPECT_EQ(to_json(again.manifest), once) << entry["name"];
    for (const std::string& warning : again.warnings)
      EXPECT_THAT(warning, ::testing::Not(::testing::HasSubstr("unknown key"))) << entry["name"];
  }
}

TEST(Schema, EveryBadDocumentIsRefusedWithTheNameOfItsKey) {
  for (const json& entry : file(DOCUMENTS_FILE)) {
    if (entry["good"]) continue;
    std::string sentence = refusal_of_text(entry["document"].dump()).sentence;
    EXPECT_THAT(sentence, ::testing::MatchesRegex(
                              "m\\.json: ([a-z_.0-9]|\\[.*\\])+: .*|m\\.json: has no manifest_version.*"))
        << entry["name"];
  }
}

TEST(Schema, TheSameDocumentInYamlIsTheSameManifest) {
  // JSON is YAML too; the reader is chosen by the first character.
  for (const json& entry : file(DOCUMENTS_FILE)) {
    if (!entry["good"]) continue;
    std::string yaml = "# YAML\n" + entry["document"].dump();
    ASSERT_EQ(refusal_of_text(yaml).sentence, "(accepted)") << entry["name"];
    EXPECT_EQ(to_json(parse_manifest(yaml, "m.yaml").manifest), to_json(manifest_of(entry["document"])));
  }
}

}  // namespace
}  // namespace hyper2kvm::contract
