#include "runner/libvirt/host.h"

#include <gtest/gtest.h>

#include "runner/os/error.h"

namespace hyper2kvm::libvirt {
namespace {

// As libvirt 9.0 writes it, shortened.
constexpr const char* kCapabilities = R"(<domainCapabilities>
  <path>/usr/bin/qemu-system-x86_64</path>
  <domain>kvm</domain>
  <os supported='yes'>
    <enum name='firmware'><value>bios</value><value>efi</value></enum>
    <loader supported='yes'>
      <value>/usr/share/OVMF/OVMF_CODE_4M.fd</value>
      <enum name='type'><value>rom</value><value>pflash</value></enum>
      <enum name='secure'><value>yes</value><value>no</value></enum>
    </loader>
  </os>
  <cpu>
    <mode name='host-passthrough' supported='yes'/>
    <mode name='maximum' supported='yes'/>
    <mode name='host-model' supported='no'/>
  </cpu>
  <devices>
    <graphics supported='yes'><enum name='type'><value>sdl</value><value>vnc</value></enum></graphics>
    <tpm supported='yes'>
      <enum name='model'><value>tpm-crb</value></enum>
      <enum name='backendModel'><value>passthrough</value><value>emulator</value></enum>
      <enum name='backendVersion'><value>1.2</value><value>2.0</value></enum>
    </tpm>
  </devices>
</domainCapabilities>)";
constexpr const char* kPoorCapabilities = R"(<domainCapabilities>
  <path>/usr/libexec/qemu-kvm</path>
  <os supported='yes'><enum name='firmware'/><loader supported='no'/></os>
  <cpu><mode name='host-model' supported='yes'/></cpu>
  <devices><graphics supported='no'/></devices>
</domainCapabilities>)";

TEST(DomainCapabilities, AreReadFromLibvirtsDocument) {
  DomainCapabilities capabilities = parse_domain_capabilities(kCapabilities);
  EXPECT_EQ(capabilities.emulator, "/usr/bin/qemu-system-x86_64");
  EXPECT_TRUE(capabilities.uefi);
  EXPECT_TRUE(capabilities.secure_uefi);
  EXPECT_TRUE(capabilities.tpm);
  EXPECT_TRUE(capabilities.vnc);
  EXPECT_TRUE(capabilities.host_passthrough);
  EXPECT_FALSE(capabilities.host_model);
  EXPECT_TRUE(capabilities.maximum);
}

TEST(DomainCapabilities, WhatIsNotListedIsNotThere) {
  DomainCapabilities capabilities = parse_domain_capabilities(kPoorCapabilities);
  EXPECT_FALSE(capabilities.uefi);
  EXPECT_FALSE(capabilities.secure_uefi);
  EXPECT_FALSE(capabilities.tpm);
  EXPECT_FALSE(capabilities.vnc);
  EXPECT_FALSE(capabilities.host_passthrough);
  EXPECT_TRUE(capabilities.host_model);
}

TEST(DomainCapabilities, AnotherDocumentIsRefused) {
  EXPECT_THROW(parse_domain_capabilities("<domain/>"), os::Error);
  EXPECT_THROW(parse_domain_capabilities("not XML"), os::Error);
  EXPECT_THROW(parse_domain_capabilities(""), os::Error);
}

struct TypeCase {
  const char* title;
  bool offered;
  bool local;
  KvmVerdict::Answer answer;
  const char* type;
  const char* part_of_warning;
};

TEST(DomainType, IsKvmOnlyWhereNothingSaysThatItDoesNotRun) {
  using Answer = KvmVerdict::Answer;
  const TypeCase cases[] = {
      {"works here", true, true, Answer::kWorks, "kvm", ""},
      {"tried and failed", true, true, Answer::kFails, "qemu", "REASON"},
      {"cannot be tried by us", true, true, Answer::kUnknown, "kvm", "REASON"},
      {"a remote host is believed", true, false, Answer::kUnknown, "kvm", ""},
      {"a remote host is believed over our own machine", true, false, Answer::kFails, "kvm", ""},
      {"not offered", false, true, Answer::kWorks, "qemu", "offers no KVM"},
      {"not offered by a remote host", false, false, Answer::kUnknown, "qemu", "offers no KVM"},
  };
  for (const TypeCase& each : cases) {
    SCOPED_TRACE(each.title);
    DomainType choice = choose_domain_type(each.offered, each.local, {each.answer, "REASON"});
    EXPECT_EQ(choice.type, each.type);
    EXPECT_NE(choice.warning.find(each.part_of_warning), std::string::npos) << choice.warning;
    EXPECT_EQ(choice.warning.empty(), std::string(each.part_of_warning).empty());
  }
}

TEST(HostFacts, TheProcessorModelFitsTheAccelerator) {
  DomainFacts facts;
  DomainCapabilities rich = parse_domain_capabilities(kCapabilities);
  EXPECT_EQ(host_facts(rich, "kvm", facts).cpu_mode, "host-passthrough");
  EXPECT_EQ(host_facts(rich, "qemu", facts).cpu_mode, "maximum");
  DomainCapabilities poor = parse_domain_capabilities(kPoorCapabilities);
  EXPECT_EQ(host_facts(poor, "kvm", facts).cpu_mode, "host-model");
  EXPECT_EQ(host_facts(poor, "qemu", facts).cpu_mode, "");
}

TEST(HostFacts, WhatTheHostLacksIsNamedWithItsPackage) {
  DomainCapabilities poor = parse_domain_capabilities(kPoorCapabilities);
  auto advice_for = [&](const DomainFacts& facts) -> std::string {
    try {
      host_facts(poor, "qemu", facts);
    } catch (const os::Error& error) {
      EXPECT_EQ(error.kind(), os::ErrorKind::kInvalid);
      return error.advice();
    }
    return "no error";
  };
  DomainFacts uefi;
  uefi.firmware = contract::Firmware::kUefi;
  EXPECT_NE(advice_for(uefi).find("ovmf"), std::string::npos);
  DomainFacts secure;
  secure.secure_boot = true;
  EXPECT_NE(advice_for(secure).find("ovmf"), std::string::npos);
  DomainFacts tpm;
  tpm.tpm = true;
  EXPECT_NE(advice_for(tpm).find("swtpm"), std::string::npos);
  EXPECT_EQ(advice_for(DomainFacts{}), "no error");
}

}  // namespace
}  // namespace hyper2kvm::libvirt
