// Where the API server is, and who we are to it.
//
// Two sources: the service account that Kubernetes mounts into a pod, and a kubeconfig file as kubectl reads
// it (client certificates, tokens, CA bundles, inline or as files; several files in $KUBECONFIG). What a
// kubeconfig can say and we do not do (exec plugins, auth providers, proxies, impersonation) is refused with
// a sentence: a credential that is silently ignored becomes a riddle about rights.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace hyper2kvm::kube {

// Each item is given inline or as a file. Files are read when a connection is made, so that what cert-manager
// or the kubelet renews is picked up without a restart.
struct TlsConfig {
  std::string ca_pem;
  std::filesystem::path ca_file;
  std::string client_certificate_pem;
  std::filesystem::path client_certificate_file;
  std::string client_key_pem;
  std::filesystem::path client_key_file;
  // The server is not verified at all: only where a kubeconfig asks for it.
  bool insecure_skip_verify = false;
};

struct Config {
  // "https://10.0.0.1:443", possibly with a path. Not an IPv6 literal: cpprestsdk takes it for a name.
  std::string server;
  TlsConfig tls;
  std::string token;
  // Takes precedence over token, and is read again when it changes.
  std::filesystem::path token_file;
  // Of the pod, or of the kubeconfig's context.
  std::string default_namespace = "default";
  // What it was read from, for messages.
  std::string source;
};

// All of these throw os::Error (kUsage for what the user must correct).

using Environment = std::function<const char*(const char* name)>;

// From the mounted service account and KUBERNETES_SERVICE_HOST/PORT.
Config load_in_cluster(const Environment& environment,
                       const std::filesystem::path& mount = "/var/run/secrets/kubernetes.io/serviceaccount");
// True where a pod's service account is mounted.
bool is_in_cluster(const Environment& environment);
// Several files are merged as kubectl does: the first that says something about a name wins. Files that do
// not exist are skipped as long as one does. context: empty for the files' own current-context.
Config load_kubeconfig(const std::vector<std::filesystem::path>& files, const std::string& context = "");
// The order that kubectl and controller-runtime follow: an explicit file, $KUBECONFIG, the pod's service
// account, ~/.kube/config.
Config load_config(const std::filesystem::path& explicit_file, const std::string& context,
                   const Environment& environment);

// Refuses what no connection could be made with.
void check(const Config& config);

}  // namespace hyper2kvm::kube
