#include "operator/kube/config.h"

#include <system_error>

#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::kube {
namespace {

using os::Error;
using os::ErrorKind;

std::string value_of(const Environment& environment, const char* name) {
  const char* value = environment(name);
  return value == nullptr ? "" : value;
}

std::string trimmed(std::string text) {
  text.erase(0, text.find_first_not_of(" \t\r\n"));
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  return text;
}

std::vector<std::filesystem::path> split_paths(const std::string& list) {
  std::vector<std::filesystem::path> paths;
  std::size_t begin = 0;
  while (begin <= list.size()) {
    std::size_t end = std::min(list.find(':', begin), list.size());
    if (end > begin) paths.emplace_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return paths;
}

}  // namespace

bool is_in_cluster(const Environment& environment) {
  return !value_of(environment, "KUBERNETES_SERVICE_HOST").empty() &&
         !value_of(environment, "KUBERNETES_SERVICE_PORT").empty();
}

Config load_in_cluster(const Environment& environment, const std::filesystem::path& mount) {
  std::string host = value_of(environment, "KUBERNETES_SERVICE_HOST");
  std::string port = value_of(environment, "KUBERNETES_SERVICE_PORT");
  if (host.empty() || port.empty())
    throw Error(ErrorKind::kUsage, "KUBERNETES_SERVICE_HOST", "is not set, so this is not a pod of a cluster",
                "Give a kubeconfig file, or run it in a pod.");
  // cpprestsdk resolves "[::1]" as a name. The API server's certificate always carries this name too.
  if (host.find(':') != std::string::npos) host = "kubernetes.default.svc";
  Config config;
  config.server = "https://" + host + ":" + port;
  config.token_file = mount / "token";
  config.tls.ca_file = mount / "ca.crt";
  config.source = "the service account in " + mount.string();
  std::error_code ignored;
  if (!std::filesystem::exists(config.token_file, ignored))
    throw Error(ErrorKind::kUsage, config.token_file.string(), "does not exist",
                "Set automountServiceAccountToken: true in the pod's specification.");
  if (std::filesystem::exists(mount / "namespace", ignored))
    config.default_namespace = trimmed(os::read_text(mount / "namespace", 1024));
  check(config);
  return config;
}

void check(const Config& config) {
  bool secure = config.server.rfind("https://", 0) == 0;
  if (!secure && config.server.rfind("http://", 0) != 0)
    throw Error(ErrorKind::kUsage, config.source,
                "names the server \"" + config.server + "\", which is no http or https address",
                "Correct the cluster's server.");
  if (config.server.find("://[") != std::string::npos)
    throw Error(ErrorKind::kUsage, config.source,
                "names the server by an IPv6 address (" + config.server + ")",
                "Give it a name, in DNS or /etc/hosts, that its certificate carries.");
  bool certificate =
      !config.tls.client_certificate_pem.empty() || !config.tls.client_certificate_file.empty();
  bool key = !config.tls.client_key_pem.empty() || !config.tls.client_key_file.empty();
  if (certificate != key)
    throw Error(
        ErrorKind::kUsage, config.source,
        certificate ? "has a client certificate without its key" : "has a client key without a certificate",
        "Give both.");
}

Config load_config(const std::filesystem::path& explicit_file, const std::string& context,
                   const Environment& environment) {
  if (!explicit_file.empty()) return load_kubeconfig({explicit_file}, context);
  std::string listed = value_of(environment, "KUBECONFIG");
  if (!listed.empty()) return load_kubeconfig(split_paths(listed), context);
  if (is_in_cluster(environment)) return load_in_cluster(environment);
  std::string home = value_of(environment, "HOME");
  std::filesystem::path usual = std::filesystem::path(home) / ".kube" / "config";
  std::error_code ignored;
  if (!home.empty() && std::filesystem::exists(usual, ignored)) return load_kubeconfig({usual}, context);
  throw Error(ErrorKind::kUsage, "the cluster", "is not named by anything",
              "Give --kubeconfig FILE, set $KUBECONFIG, or run it in a pod.");
}

}  // namespace hyper2kvm::kube
