// Reads kubeconfig files: clusters, users and contexts by name, several files merged with the first one
// winning. Source: kubernetes.io, "Organizing Cluster Access Using kubeconfig Files"; client-go's
// clientcmd/api/v1.
#include <openssl/evp.h>
#include <yaml-cpp/yaml.h>

#include <array>
#include <map>
#include <optional>

#include "operator/kube/config.h"
#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::kube {
namespace {

using os::Error;
using os::ErrorKind;
namespace fs = std::filesystem;

constexpr std::size_t kFileLimit = 4u << 20;

// One entry of clusters, users or contexts, and the file it stands in: relative paths start there.
struct Entry {
  YAML::Node body;
  fs::path file;
};
using Entries = std::map<std::string, Entry>;

struct Merged {
  Entries clusters, users, contexts;
  std::string current_context;
  std::string names;  // of the files, for messages
};

[[noreturn]] void refuse(const Merged& merged, const std::string& problem, const std::string& advice) {
  throw Error(ErrorKind::kUsage, "kubeconfig " + merged.names, problem, advice);
}

std::string text(const YAML::Node& node, const char* name) {
  YAML::Node value = node[name];
  return value && value.IsScalar() ? value.Scalar() : "";
}

fs::path path_of(const Entry& entry, const char* name) {
  fs::path path = text(entry.body, name);
  return path.empty() || path.is_absolute() ? path : fs::absolute(entry.file).parent_path() / path;
}

void add_entries(Entries& entries, const YAML::Node& list, const char* body_name, const fs::path& file) {
  if (!list || !list.IsSequence()) return;
  for (const YAML::Node& item : list) {
    if (!item.IsMap()) continue;
    YAML::Node body = item[body_name];
    entries.emplace(text(item, "name"),
                    Entry{body && body.IsMap() ? body : YAML::Node(YAML::NodeType::Map), file});
  }
}

void add_file(Merged& merged, const fs::path& file) {
  YAML::Node root;
  try {
    root = YAML::Load(os::read_text(file, kFileLimit));
  } catch (const YAML::Exception& error) {
    throw Error(ErrorKind::kUsage, file.string(), std::string("is not YAML: ") + error.what());
  }
  if (!root.IsMap()) throw Error(ErrorKind::kUsage, file.string(), "is not a kubeconfig file");
  add_entries(merged.clusters, root["clusters"], "cluster", file);
  add_entries(merged.users, root["users"], "user", file);
  add_entries(merged.contexts, root["contexts"], "context", file);
  if (merged.current_context.empty()) merged.current_context = text(root, "current-context");
}

const Entry& find(const Merged& merged, const Entries& entries, const char* what, const std::string& name) {
  auto found = entries.find(name);
  if (found == entries.end())
    refuse(merged, "has no " + std::string(what) + " \"" + name + "\"",
           "Choose one that it has (kubectl config get-contexts lists them).");
  return found->second;
}

// The PEM text of "NAME-data", which is base64.
std::string data_of(const Merged& merged, const Entry& entry, const char* name) {
  std::string encoded;
  for (char character : text(entry.body, name))
    if (character != '\n' && character != '\r' && character != ' ') encoded += character;
  if (encoded.empty()) return "";
  std::string decoded(encoded.size(), '\0');
  int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(decoded.data()),
                             reinterpret_cast<const unsigned char*>(encoded.data()),
                             static_cast<int>(encoded.size()));
  if (size < 0) refuse(merged, std::string("has a ") + name + " that is not base64", "");
  // EVP_DecodeBlock counts the padding as bytes.
  std::size_t padding = encoded.ends_with("==") ? 2 : encoded.ends_with("=") ? 1 : 0;
  decoded.resize(static_cast<std::size_t>(size) - padding);
  return decoded;
}

void refuse_what_we_do_not_do(const Merged& merged, const Entry& cluster, const Entry& user) {
  if (YAML::Node exec = user.body["exec"])
    refuse(merged,
           "gets its credentials from the program \"" + (exec.IsMap() ? text(exec, "command") : "") +
               "\" (exec), which is not run here",
           "Use a client certificate or a token; kubectl create token prints one.");
  static constexpr std::array<std::array<const char*, 2>, 6> kUserKeys = {
      {{"auth-provider", "an auth-provider"},
       {"username", "a user name and a password, which Kubernetes no longer accepts"},
       {"as", "impersonation (as)"},
       {"as-uid", "impersonation (as-uid)"},
       {"as-groups", "impersonation (as-groups)"},
       {"as-user-extra", "impersonation (as-user-extra)"}}};
  for (const auto& [key, meaning] : kUserKeys)
    if (user.body[key])
      refuse(merged, std::string("asks for ") + meaning + ", which is not supported",
             "Use a client certificate or a token.");
  if (cluster.body["proxy-url"])
    refuse(merged, "reaches the cluster through a proxy (proxy-url), which is not supported",
           "Name the API server directly.");
  if (cluster.body["tls-server-name"])
    refuse(merged, "has a tls-server-name, which is not supported",
           "Name the API server as its certificate does.");
}

}  // namespace

Config load_kubeconfig(const std::vector<fs::path>& files, const std::string& context_name) {
  Merged merged;
  std::optional<fs::path> missing;
  for (const fs::path& file : files) {
    std::error_code ignored;
    if (!fs::exists(file, ignored)) {
      missing = file;
      continue;
    }
    merged.names += (merged.names.empty() ? "" : ":") + file.string();
    add_file(merged, file);
  }
  if (merged.names.empty())
    throw Error(ErrorKind::kUsage, missing ? missing->string() : "kubeconfig", "does not exist",
                "Name a kubeconfig file that exists.");

  std::string name = context_name.empty() ? merged.current_context : context_name;
  if (name.empty()) refuse(merged, "has no current-context", "Choose one with kubectl config use-context.");
  const Entry& context = find(merged, merged.contexts, "context", name);
  const Entry& cluster = find(merged, merged.clusters, "cluster", text(context.body, "cluster"));
  Entry nobody{YAML::Node(YAML::NodeType::Map), {}};
  std::string user_name = text(context.body, "user");
  const Entry& user = user_name.empty() ? nobody : find(merged, merged.users, "user", user_name);
  refuse_what_we_do_not_do(merged, cluster, user);

  Config config;
  config.source = "kubeconfig " + merged.names;
  config.server = text(cluster.body, "server");
  while (config.server.ends_with('/')) config.server.pop_back();
  config.tls.ca_pem = data_of(merged, cluster, "certificate-authority-data");
  config.tls.ca_file = path_of(cluster, "certificate-authority");
  config.tls.insecure_skip_verify = text(cluster.body, "insecure-skip-tls-verify") == "true";
  config.tls.client_certificate_pem = data_of(merged, user, "client-certificate-data");
  config.tls.client_certificate_file = path_of(user, "client-certificate");
  config.tls.client_key_pem = data_of(merged, user, "client-key-data");
  config.tls.client_key_file = path_of(user, "client-key");
  config.token = text(user.body, "token");
  config.token_file = path_of(user, "tokenFile");
  if (std::string chosen = text(context.body, "namespace"); !chosen.empty())
    config.default_namespace = chosen;
  check(config);
  return config;
}

}  // namespace hyper2kvm::kube
