#include <gmock/gmock.h>

#include "tests/unit/contract/documents.h"

namespace hyper2kvm::contract {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(LibvirtSettings, AreAbsentUnlessWritten) {
  EXPECT_FALSE(manifest_of(small_manifest()).libvirt.has_value());
}

TEST(LibvirtSettings, HaveDefaults) {
  Libvirt libvirt = manifest_of(manifest_with("/libvirt/enabled", true)).libvirt.value();
  EXPECT_TRUE(libvirt.enabled);
  EXPECT_EQ(libvirt.uri, "qemu:///system");
  EXPECT_EQ(libvirt.name + libvirt.pool + libvirt.network + libvirt.bridge, "");
  EXPECT_FALSE(libvirt.autostart || libvirt.start || libvirt.overwrite);
}

TEST(LibvirtSettings, AreRead) {
  json settings = {{"enabled", true},    {"uri", "qemu:///embed?root=/tmp/x"},
                   {"name", "Web 01"},   {"pool", "default"},
                   {"bridge", "virbr0"}, {"autostart", true},
                   {"start", true},      {"overwrite", true}};
  Libvirt libvirt = manifest_of(manifest_with("/libvirt", settings)).libvirt.value();
  EXPECT_EQ(libvirt.uri, "qemu:///embed?root=/tmp/x");
  EXPECT_EQ(libvirt.name, "Web 01");
  EXPECT_EQ(libvirt.pool, "default");
  EXPECT_EQ(libvirt.bridge, "virbr0");
  EXPECT_TRUE(libvirt.autostart && libvirt.start && libvirt.overwrite);
  EXPECT_EQ(manifest_of(manifest_with("/libvirt/network", "lab")).libvirt->network, "lab");
}

TEST(LibvirtSettings, ANetworkAndABridgeExcludeEachOther) {
  json document = manifest_with("/libvirt", {{"enabled", true}, {"network", "default"}, {"bridge", "br0"}});
  EXPECT_EQ(refusal(document),
            "m.json: libvirt.bridge: is given together with libvirt.network. Give one of the two.");
}

TEST(LibvirtSettings, NamesAreNoPathsAndABridgeIsShort) {
  for (const char* key : {"pool", "network", "bridge"})
    EXPECT_THAT(refusal(manifest_with(std::string("/libvirt/") + key, "a/b")),
                HasSubstr("\"a/b\" is not allowed"));
  EXPECT_THAT(refusal(manifest_with("/libvirt/bridge", "a-bridge-too-far")), HasSubstr("at most 15 bytes"));
  EXPECT_THAT(refusal(manifest_with("/libvirt/uri", "")), HasSubstr("libvirt.uri: is empty"));
  EXPECT_THAT(refusal(manifest_with("/libvirt/name", "a\nb")), HasSubstr("libvirt.name"));
  EXPECT_THAT(refusal(manifest_with("/libvirt/start", "later")), HasSubstr("allowed: true, false"));
}

TEST(LibvirtSettings, WithoutEnabledNothingIsRegisteredAndThatIsPointedOut) {
  ParsedManifest result = parsed(manifest_with("/libvirt/pool", "default"));
  EXPECT_FALSE(result.manifest.libvirt->enabled);
  EXPECT_THAT(result.warnings,
              ElementsAre("libvirt.enabled: absent, which means false: nothing is registered"));
}

}  // namespace
}  // namespace hyper2kvm::contract
