#include "operator/kube/config.h"

#include <gtest/gtest.h>

#include <map>

#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::kube {
namespace {

Environment environment(std::map<std::string, std::string> values) {
  return [values](const char* name) { return values.contains(name) ? values.at(name).c_str() : nullptr; };
}

class ConfigTest : public testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, const std::string& text) {
    std::filesystem::path path = directory.path() / name;
    std::filesystem::create_directories(path.parent_path());
    os::write_text_atomically(path, text);
    return path;
  }
  // The sentence that loading these texts (one file each) is refused with.
  std::string refusal(const std::string& text, const std::string& context = "") {
    try {
      load_kubeconfig({write("refused", text)}, context);
    } catch (const os::Error& error) {
      EXPECT_EQ(error.kind(), os::ErrorKind::kUsage);
      return error.sentence();
    }
    return "";
  }
  os::TemporaryDirectory directory{"config-test"};
};

// YWJj is "abc".
const char kFull[] = R"(
apiVersion: v1
kind: Config
clusters:
- name: one
  cluster: {server: "https://10.0.0.1:6443/", certificate-authority-data: YWJj}
- name: two
  cluster: {server: "https://two.test", certificate-authority: pki/ca.crt, insecure-skip-tls-verify: true}
users:
- name: certificate
  user: {client-certificate-data: YWJj, client-key-data: "YWJjZA=="}
- name: files
  user: {client-certificate: pki/me.crt, client-key: /abs/me.key, token: secret}
- name: token-file
  user: {tokenFile: token}
contexts:
- name: first
  context: {cluster: one, user: certificate, namespace: work}
- name: second
  context: {cluster: two, user: files}
- name: third
  context: {cluster: two, user: token-file}
- name: nobody
  context: {cluster: one}
current-context: first
)";

TEST_F(ConfigTest, TheCurrentContextOfAKubeconfigIsTaken) {
  Config config = load_kubeconfig({write("config", kFull)});
  EXPECT_EQ(config.server, "https://10.0.0.1:6443");
  EXPECT_EQ(config.tls.ca_pem, "abc");
  EXPECT_EQ(config.tls.client_certificate_pem, "abc");
  EXPECT_EQ(config.tls.client_key_pem, "abcd");
  EXPECT_EQ(config.default_namespace, "work");
  EXPECT_FALSE(config.tls.insecure_skip_verify);
}

TEST_F(ConfigTest, PathsAreRelativeToTheirFile) {
  Config config = load_kubeconfig({write("sub/config", kFull)}, "second");
  EXPECT_EQ(config.tls.ca_file, directory.path() / "sub/pki/ca.crt");
  EXPECT_EQ(config.tls.client_certificate_file, directory.path() / "sub/pki/me.crt");
  EXPECT_EQ(config.tls.client_key_file, "/abs/me.key");
  EXPECT_EQ(config.token, "secret");
  EXPECT_TRUE(config.tls.insecure_skip_verify);
  EXPECT_EQ(config.default_namespace, "default");
  EXPECT_EQ(load_kubeconfig({directory.path() / "sub/config"}, "third").token_file,
            directory.path() / "sub/token");
}

TEST_F(ConfigTest, AContextWithoutAUserIsAnonymous) {
  Config config = load_kubeconfig({write("config", kFull)}, "nobody");
  EXPECT_EQ(config.token, "");
  EXPECT_EQ(config.tls.client_certificate_pem, "");
}

TEST_F(ConfigTest, OfSeveralFilesTheFirstThatNamesAThingWins) {
  auto a = write("a", R"(
clusters: [{name: c, cluster: {server: "https://a"}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
)");
  auto b = write("b", R"(
clusters: [{name: c, cluster: {server: "https://b"}}]
users: [{name: u, user: {token: t}}]
current-context: x
)");
  Config config = load_kubeconfig({a, directory.path() / "missing", b});
  EXPECT_EQ(config.server, "https://a");
  EXPECT_EQ(config.token, "t");
}

TEST_F(ConfigTest, AnExecPluginIsRefusedByItsName) {
  std::string sentence = refusal(R"(
clusters: [{name: c, cluster: {server: "https://a"}}]
users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: aws}}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
)");
  EXPECT_NE(sentence.find("gets its credentials from the program \"aws\" (exec), which is not run here"),
            std::string::npos)
      << sentence;
}

TEST_F(ConfigTest, WhatWouldBeIgnoredIsRefused) {
  struct {
    const char* cluster;
    const char* user;
    const char* expected;
  } cases[] = {{"", "auth-provider: {name: gcp}", "auth-provider"},
               {"", "username: me", "a user name and a password"},
               {"", "as: other", "impersonation"},
               {"proxy-url: http://p", "", "proxy-url"},
               {"tls-server-name: x", "", "tls-server-name"},
               {"", "client-certificate-data: YWJj", "without its key"},
               {"", "client-key-data: YWJj", "without a certificate"},
               {"certificate-authority-data: '*'", "", "not base64"}};
  for (const auto& one : cases) {
    std::string sentence =
        refusal("clusters: [{name: c, cluster: {server: 'https://a', " + std::string(one.cluster) +
                "}}]\nusers: [{name: u, user: {" + one.user +
                "}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n");
    EXPECT_NE(sentence.find(one.expected), std::string::npos) << one.expected << ": " << sentence;
  }
}

TEST_F(ConfigTest, WhatIsNoKubeconfigIsRefused) {
  for (const char* text :
       {"", "7", "[]", "{", "clusters: 7\ncurrent-context: x\n", "contexts: [7]\ncurrent-context: x",
        "contexts: [{name: x, context: 7}]\ncurrent-context: x"})
    EXPECT_NE(refusal(text), "") << text;
  EXPECT_NE(refusal(kFull, "absent").find("has no context \"absent\""), std::string::npos);
  EXPECT_THROW(load_kubeconfig({directory.path() / "missing"}), os::Error);
}

TEST_F(ConfigTest, AnIpv6AddressIsRefusedWithWhatToDo) {
  std::string sentence = refusal(R"(
clusters: [{name: c, cluster: {server: "https://[fd00::1]:6443"}}]
contexts: [{name: x, context: {cluster: c}}]
current-context: x
)");
  EXPECT_NE(sentence.find("Give it a name"), std::string::npos) << sentence;
}

TEST_F(ConfigTest, APodFindsItsServiceAccount) {
  auto mount = directory.path() / "sa";
  write("sa/token", "t");
  write("sa/ca.crt", "pem");
  write("sa/namespace", "mine\n");
  Config config = load_in_cluster(
      environment({{"KUBERNETES_SERVICE_HOST", "10.1.0.1"}, {"KUBERNETES_SERVICE_PORT", "443"}}), mount);
  EXPECT_EQ(config.server, "https://10.1.0.1:443");
  EXPECT_EQ(config.token_file, mount / "token");
  EXPECT_EQ(config.tls.ca_file, mount / "ca.crt");
  EXPECT_EQ(config.default_namespace, "mine");
}

TEST_F(ConfigTest, APodOfAnIpv6ClusterUsesTheServersName) {
  write("sa/token", "t");
  Config config = load_in_cluster(
      environment({{"KUBERNETES_SERVICE_HOST", "fd00::1"}, {"KUBERNETES_SERVICE_PORT", "443"}}),
      directory.path() / "sa");
  EXPECT_EQ(config.server, "https://kubernetes.default.svc:443");
}

TEST_F(ConfigTest, APodWithoutATokenSaysWhatIsMissing) {
  try {
    load_in_cluster(
        environment({{"KUBERNETES_SERVICE_HOST", "10.1.0.1"}, {"KUBERNETES_SERVICE_PORT", "443"}}),
        directory.path());
    FAIL();
  } catch (const os::Error& error) {
    EXPECT_EQ(error.advice(), "Set automountServiceAccountToken: true in the pod's specification.");
  }
}

TEST_F(ConfigTest, AnExplicitFileWinsOverTheEnvironmentAndThatOverTheHome) {
  auto simple = [&](const std::string& name) {
    return write(name, "clusters: [{name: c, cluster: {server: 'https://" + name.substr(name.rfind('/') + 1) +
                           "'}}]\ncontexts: [{name: x, context: {cluster: c}}]\ncurrent-context: x\n");
  };
  auto given = simple("given"), from_variable = simple("variable"), from_home = simple("home/.kube/config");
  auto both =
      environment({{"KUBECONFIG", from_variable.string()}, {"HOME", (directory.path() / "home").string()}});
  auto home = environment({{"HOME", (directory.path() / "home").string()}});
  EXPECT_EQ(load_config(given, "", both).server, "https://given");
  EXPECT_EQ(load_config("", "", both).server, "https://variable");
  EXPECT_EQ(load_config("", "", home).server, "https://config");
  EXPECT_THROW(load_config("", "", environment({})), os::Error);
}

}  // namespace
}  // namespace hyper2kvm::kube
