#include <gtest/gtest.h>

#include "runner/libvirt/domain.h"

namespace hyper2kvm::libvirt {
namespace {

TEST(DomainName, StaysAsItIsWhereLibvirtTakesIt) {
  for (const char* name :
       {"web01", "Web Server 01", "DB (prod) #2", "Büro-Rechner", "a.b_c-d", "100% & <more>"})
    EXPECT_EQ(domain_name(name), name);
}

TEST(DomainName, ASlashMakesItPlain) { EXPECT_EQ(domain_name("Team A/Web Server"), "team-aweb-server"); }

TEST(DomainName, LineBreaksAndControlCharactersMakeItPlain) {
  EXPECT_EQ(domain_name("Web\n01"), "web01");
  EXPECT_EQ(domain_name(std::string("Web\0One", 7)), "webone");
  EXPECT_EQ(domain_name("\x1b[31mRed"), "31mred");
}

TEST(DomainName, BytesThatAreNoTextMakeItPlain) {
  EXPECT_EQ(domain_name("Caf\xe9"), "caf");
  EXPECT_EQ(domain_name("\xc0\xaf.."), "vm");  // an overlong slash
}

TEST(DomainName, PathTricksLoseTheirSlashes) { EXPECT_EQ(domain_name("../../etc/passwd"), "....etcpasswd"); }

TEST(DomainName, IsVmWhereNothingIsLeft) {
  EXPECT_EQ(domain_name(""), "vm");
  EXPECT_EQ(domain_name("   "), "vm");
  EXPECT_EQ(domain_name("/"), "vm");
  EXPECT_EQ(domain_name("."), "vm");
  EXPECT_EQ(domain_name(".."), "vm");
  EXPECT_EQ(domain_name("日本/語"), "vm");
  EXPECT_EQ(domain_name("- / -"), "vm");
}

TEST(DomainName, ALeadingDashIsNotMade) { EXPECT_EQ(domain_name("/ --config"), "config"); }

TEST(DomainName, IsShortEnoughForAFileName) {
  std::string long_name(1000, 'A');
  EXPECT_EQ(domain_name(long_name), std::string(200, 'a'));
  EXPECT_EQ(domain_name(std::string(200, 'A')), std::string(200, 'A'));
}

TEST(DomainName, OfItsOwnResultIsTheSame) {
  for (const char* name : {"Team A/Web Server", "Web\n01", "", "x/y/z"})
    EXPECT_EQ(domain_name(domain_name(name)), domain_name(name));
}

}  // namespace
}  // namespace hyper2kvm::libvirt
