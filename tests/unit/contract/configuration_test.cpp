#include <gmock/gmock.h>

#include "tests/unit/contract/documents.h"

namespace hyper2kvm::contract {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

const char* const kHash = "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc";
const char* const kKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIpxfHuI2qfTYPrL4 admin@example.com";

json user(const char* key, const json& value) {
  json entry = {{"name", "admin"}};
  entry[key] = value;
  return entry;
}

std::string refusal_of_user(const char* key, const json& value) {
  return refusal(manifest_with("/configuration/users", json::array({user(key, value)})));
}

TEST(Configuration, IsEmptyWhereNothingIsSaid) {
  EXPECT_TRUE(manifest_of(small_manifest()).configuration.empty());
  EXPECT_TRUE(manifest_of(manifest_with("/configuration", json::object())).configuration.empty());
}

TEST(Configuration, UsersAreRead) {
  json entry = {{"name", "admin"},
                {"password_hash", kHash},
                {"ssh_authorized_keys", {kKey}},
                {"groups", {"wheel", "docker"}},
                {"sudo", true}};
  auto users =
      manifest_of(manifest_with("/configuration/users", {entry, {{"name", "guest"}}})).configuration.users;
  ASSERT_EQ(users.size(), 2u);
  EXPECT_EQ(users[0].name, "admin");
  EXPECT_EQ(users[0].password_hash, kHash);
  EXPECT_THAT(users[0].ssh_authorized_keys, ElementsAre(kKey));
  EXPECT_THAT(users[0].groups, ElementsAre("wheel", "docker"));
  EXPECT_TRUE(users[0].sudo);
  EXPECT_EQ(users[1].password_hash, "");
  EXPECT_FALSE(users[1].sudo);
}

TEST(Configuration, SshKeysIsAnotherNameOfSshAuthorizedKeys) {
  json entry = {{"name", "admin"}, {"ssh_authorized_keys", {kKey}}, {"ssh_keys", {std::string(kKey) + "2"}}};
  auto users = manifest_of(manifest_with("/configuration/users", json::array({entry}))).configuration.users;
  EXPECT_THAT(users.at(0).ssh_authorized_keys, ElementsAre(kKey, std::string(kKey) + "2"));
}

TEST(Configuration, UsersMayStandOneLevelDeeper) {
  auto read = manifest_of(manifest_with("/configuration/users/users", json::array({{{"name", "admin"}}})));
  EXPECT_EQ(read.configuration.users.at(0).name, "admin");
}

TEST(Configuration, AClearTextPasswordIsRefusedAndNeverShown) {
  std::string sentence = refusal_of_user("password", "hunter2");
  EXPECT_EQ(
      sentence,
      "m.json: configuration.users[0].password: a password in clear text is not accepted. Give its hash as "
      "password_hash: `openssl passwd -6` makes one.");
  EXPECT_THAT(refusal_of_user("password_hash", "hunter2"), Not(HasSubstr("hunter2")));
}

TEST(Configuration, APasswordHashIsInCryptForm) {
  for (const char* hash : {"$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7",
                           "$5$rounds=5000$saltsalt$aaaaaaaaaaaaaaaaaaaa", "$2b$12$abcdefghijklmnopqrstuv"})
    EXPECT_EQ(manifest_of(manifest_with("/configuration/users", json::array({user("password_hash", hash)})))
                  .configuration.users[0]
                  .password_hash,
              hash);
  for (const std::string& hash : {std::string(""), std::string("x"), std::string("$6$short"),
                                  std::string("$9$saltsalt$aaaaaaaaaaaaaaaa"), std::string(kHash) + ":0:0",
                                  std::string(kHash) + "\nroot::0:0"})
    EXPECT_THAT(refusal_of_user("password_hash", hash), HasSubstr("configuration.users[0].password_hash: "))
        << hash;
}

TEST(Configuration, NamesOfUsersAndGroupsAreAccountNames) {
  for (const char* name : {"", "a b", "a:b", "-a", "0a", "a/b", "abcdefghijklmnopqrstuvwxyzabcdefg", "a\n"}) {
    EXPECT_THAT(refusal(manifest_with("/configuration/users", json::array({{{"name", name}}}))),
                HasSubstr("configuration.users[0].name: "))
        << name;
    EXPECT_THAT(refusal_of_user("groups", {name}), HasSubstr("configuration.users[0].groups[0]: ")) << name;
  }
  EXPECT_EQ(refusal(manifest_with("/configuration/users", json::array({{{"sudo", true}}}))),
            "m.json: configuration.users[0].name: is missing and must be there");
  EXPECT_THAT(refusal(manifest_with("/configuration/users", {{{"name", "a"}}, {{"name", "a"}}})),
              HasSubstr("configuration.users[1].name: \"a\" is the name of another user too"));
}

TEST(Configuration, SshKeysArePublicKeysOfOneLine) {
  for (const char* key : {"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC=",
                          "from=\"10.0.0.1\" ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAA a b",
                          "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5"})
    EXPECT_EQ(manifest_of(manifest_with("/configuration/users", json::array({user("ssh_keys", {key})})))
                  .configuration.users[0]
                  .ssh_authorized_keys.size(),
              1u)
        << key;
  for (const char* key :
       {"", "ssh-rsa", "ssh-rsa short", "AAAAB3NzaC1yc2EAAAADAQABAAABAQC",
        "-----BEGIN OPENSSH PRIVATE KEY-----", "ssh-rsa AAAAB3NzaC1yc2E\nssh-rsa AAAAB3NzaC1yc2EAAAA",
        "ssh-rsa AAAAB3NzaC1yc2EAAAA;DAQABA"})
    EXPECT_THAT(refusal_of_user("ssh_authorized_keys", {key}),
                HasSubstr("configuration.users[0].ssh_authorized_keys[0]: "))
        << key;
  EXPECT_THAT(refusal_of_user("ssh_keys", kKey), HasSubstr("allowed: a list"));
}

TEST(Configuration, SudoIsYesOrNo) {
  EXPECT_THAT(refusal_of_user("sudo", "ALL=(ALL) NOPASSWD:ALL"), HasSubstr("allowed: true, false"));
}

TEST(Configuration, ServicesAreNames) {
  json services = {{"enable", {"sshd", "getty@tty1.service"}}, {"disable", {"bluetooth"}}};
  auto read = manifest_of(manifest_with("/configuration/services", services)).configuration.services;
  EXPECT_THAT(read.enable, ElementsAre("sshd", "getty@tty1.service"));
  EXPECT_THAT(read.disable, ElementsAre("bluetooth"));
  for (const char* name : {"", "../x", "a b", "-x", ".hidden", "a;b"}) {
    EXPECT_THAT(refusal(manifest_with("/configuration/services/enable", {name})),
                HasSubstr("configuration.services.enable[0]: "))
        << name;
    EXPECT_THAT(refusal(manifest_with("/configuration/services/disable", {name})),
                HasSubstr("configuration.services.disable[0]: "))
        << name;
  }
  EXPECT_EQ(refusal(manifest_with("/configuration/services", {{"enable", {"a"}}, {"disable", {"a"}}})),
            "m.json: configuration.services.disable: \"a\" is in configuration.services.enable too");
}

TEST(Configuration, AHostNameIsOneOfRfc1123) {
  for (const char* name : {"web01", "web01.example.com", "3com", "A-b"})
    EXPECT_EQ(manifest_of(manifest_with("/configuration/hostname", name)).configuration.hostname, name);
  EXPECT_EQ(manifest_of(manifest_with("/configuration/hostname/hostname", "web01")).configuration.hostname,
            "web01");
  for (const std::string& name :
       {std::string("web_01"), std::string("-web"), std::string("web-"), std::string("a..b"),
        std::string("a."), std::string("w\u00e9b"), std::string(64, 'a'), std::string("a b"),
        std::string(33, 'a') + "." + std::string(33, 'b')})
    EXPECT_THAT(refusal(manifest_with("/configuration/hostname", name)),
                HasSubstr("is not allowed; allowed: a host name as in RFC 1123"))
        << name;
}

TEST(Configuration, NetworkFilesLieBelowEtc) {
  json files = {{"/etc/netplan/01.yaml", "network:\n  version: 2\n"}};
  EXPECT_THAT(
      manifest_of(manifest_with("/configuration/network", {{"files", files}})).configuration.network_files,
      ElementsAre(Pair("/etc/netplan/01.yaml", "network:\n  version: 2\n")));
  for (const char* path :
       {"etc/x", "/etc/", "/etc", "/etc/../x", "/etc//x", "/etc/./x", "/var/x", "/etc/a/", "", "/etc/a\nb"})
    EXPECT_THAT(refusal(manifest_with("/configuration/network", {{"files", {{path, "x"}}}})),
                HasSubstr("the path is not allowed; allowed: a file below /etc, absolute, without \"..\""))
        << path;
  EXPECT_THAT(refusal(manifest_with("/configuration/network", {{"files", {{"/etc/a", 1}}}})),
              HasSubstr("configuration.network.files[\"/etc/a\"]: 1 is not allowed"));
  EXPECT_THAT(
      refusal(manifest_with("/configuration/network", {{"files", {{"/etc/a", std::string(1 << 21, 'a')}}}})),
      HasSubstr("text with at most 1 MiB"));
  EXPECT_THAT(refusal(manifest_with("/configuration/network", {{"files", json::array()}})),
              HasSubstr("configuration.network.files: a list is not allowed"));
}

TEST(Configuration, UnknownSettingsWarn) {
  json document = manifest_with("/configuration/users", json::array({user("shell", "/bin/zsh")}));
  EXPECT_THAT(parsed(document).warnings, ElementsAre("configuration.users[0].shell: unknown key, ignored"));
}

}  // namespace
}  // namespace hyper2kvm::contract
